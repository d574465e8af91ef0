package api

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// A word is what the document says of a field or parameter whose own tags doc
// and example do not say it.
type word struct {
	Doc     string
	Example any
}

// words is the one table of the words that many schemas share, by name, or by
// schema and name where a word means something else there.
var words = map[string]word{
	"id":           {"Id, for ever: three letters that say of what kind, an underscore, and 26 characters that sort by time of creation", "mch_06h0581g8eq3vc02k440xw0drg"},
	"name":         {"Name, a DNS label: at most 63 lower case letters, digits and hyphens; unique among its kind in the site", "web-01"},
	"site":         {"Id of its site", "sit_06h0581dx75751gs2k1jb254d4"},
	"siteName":     {"Name of its site", "lon1"},
	"machine":      {"Id of the machine; absent: of none", "mch_06h0581g8eq3vc02k440xw0drg"},
	"machineName":  {"Name of the machine; absent: of none", "web-01"},
	"workflow":     {"Id of the workflow that did it; absent: none", "wfl_06h0581gyez56bve7wy3shdpjw"},
	"network":      {"Id of its network", "net_06h0581h3k8s5w2c7m1n9p4q6r"},
	"subnet":       {"Id of its subnet", "sub_06h0581h5m8s5w2c7m1n9p4q6r"},
	"createdAt":    {"When it was made (RFC 3339, UTC)", "2026-11-22T10:00:00Z"},
	"changedAt":    {"When anything of it changed last (RFC 3339, UTC)", "2026-11-22T10:07:30Z"},
	"startedAt":    {"When it began (RFC 3339, UTC)", "2026-11-22T10:00:00Z"},
	"endedAt":      {"When it came to its end (RFC 3339, UTC); absent: it has not", "2026-11-22T10:07:30Z"},
	"expiresAt":    {"When it stops being good (RFC 3339, UTC); absent: never", "2026-11-23T10:00:00Z"},
	"revokedAt":    {"When it was revoked (RFC 3339, UTC); absent: it was not", "2026-11-22T11:00:00Z"},
	"clearedAt":    {"When it was over (RFC 3339, UTC); absent: it is still so", "2026-11-22T10:20:00Z"},
	"sealedAt":     {"When the chain was sealed up to here (RFC 3339, UTC)", "2026-11-22T10:00:01Z"},
	"enrolledAt":   {"When it enrolled (RFC 3339, UTC)", "2026-11-20T08:00:00Z"},
	"lastSeen":     {"When it was heard of last (RFC 3339, UTC); absent: never since it enrolled", "2026-11-22T10:07:00Z"},
	"lastAt":       {"When something of it was seen last (RFC 3339, UTC)", "2026-11-22T10:03:12Z"},
	"at":           {"When it happened (RFC 3339, UTC)", "2026-11-22T10:00:00Z"},
	"since":        {"Since when it is so (RFC 3339, UTC)", "2026-11-22T10:01:00Z"},
	"until":        {"When the wait is given up (RFC 3339, UTC)", "2026-11-22T10:21:00Z"},
	"state":        {"State of the machine, which moves only as docs/lifecycle.md draws it: discovered, registered, ready, allocated, deployed, broken or retired", "ready"},
	"power":        {"What the BMC said last: on, off, or unknown where it has said nothing or there is none", "on"},
	"architecture": {"Processor family: amd64 or arm64", "amd64"},
	"bootMode":     {"How the firmware boots: bios or uefi; absent: not known yet", "uefi"},
	"tags":         {"Free words, at most 64 of at most 128 bytes each", []string{"gpu"}},
	"pool":         {"Pool from which machines are allocated, at most 128 bytes; empty: none", "general"},
	"zone":         {"Failure zone: what fails together, at most 128 bytes; empty: none", "row-a"},
	"tag":          {"With this tag", "gpu"},
	"owner":        {"Who has it, at most 128 bytes; absent: nobody", "team-web"},
	"bmc":          {"Service processor by which power is switched; its password is never answered", nil},
	"inventory":    {"What the ramdisk found in it last; absent: it was never inspected", nil},
	"interfaces":   {"Network ports, the one that boots first", nil},
	"addresses":    {"Addresses that are allocated to it", nil},
	"problems":     {"What is wrong with it now, the most severe first; absent or empty: nothing that is known", nil},
	"labels":       {"Keys and values as Kubernetes writes labels, at most 64", map[string]string{"rack": "r1"}},
	"role":         {"What its bearer may do; each includes the one before: viewer, operator, admin. agent is of a site's agent only", "operator"},
	"secret":       {"Secret to send as bearer; it is shown this one time and kept hashed only", "sprout-secret"},
	"version":      {"Version of the program", "1.0.0"},
	"kind":         {"What is done: discover, commission, deploy, release, rescue, unrescue", "deploy"},
	"step":         {"Name of the step", "write-image"},
	"percent":      {"How much of the step is done, 0 to 100; absent: it cannot be told", 43},
	"seconds":      {"How long, in seconds", 12.5},
	"attempt":      {"Which attempt, the first is 1", 1},
	"detail":       {"More of it, in words for people; absent: nothing", "digest is the one that was asked for"},
	"outcome":      {"What came of it", "done"},
	"event":        {"What moved it, as docs/lifecycle.md names it", "commissioned"},
	"actor":        {"Name of the token or agent that asked for it; sprout: Sprout itself", "admin"},
	"from":         {"State before; absent: it was not there", "allocated"},
	"to":           {"State after", "deployed"},
	"code":         {"Code of the problem, as listed at /docs/problems/; for scripts: it never changes its meaning", "tftp-stalled"},
	"severity":     {"How soon somebody should look: warning or critical", "critical"},
	"reason":       {"Why, in words for people", "nothing was read of it for 30 seconds"},
	"evidence":     {"What was seen of it, in words for people; absent: nothing", "block 4711 of snponly.efi was sent 6 times"},
	"remedy":       {"What helps, as a command where there is one", "sprout workflow retry web-01"},
	"error":        {"Why it failed, in words for people; absent: it did not", "cannot write the image: the disk is too small"},
	"failure":      {"Why it failed; absent: it did not", nil},
	"progress":     {"How far the step is; absent: it cannot be told", nil},
	"wait":         {"What it waits for; absent: for nothing", nil},
	"for":          {"What is waited for, in words for people", "the ramdisk to report"},
	"retries":      {"How often it was begun anew", 0},
	"ip":           {"IP address, IPv4 or IPv6", "10.20.0.17"},
	"mac":          {"MAC address, lower case with colons", "52:54:00:12:34:56"},
	"macs":         {"MAC addresses, lower case with colons", []string{"52:54:00:12:34:56"}},
	"cidr":         {"Prefix of the subnet, IPv4 or IPv6", "10.20.0.0/24"},
	"gateway":      {"Router of the subnet; absent: none", "10.20.0.1"},
	"dns":          {"Name servers that machines are told", []string{"10.20.0.2"}},
	"vrf":          {"", "tenant-a"},
	"domain":       {"", "lon1.example"},
	"search":       {"", []string{"lon1.example"}},
	"advertise":    {"", "managed"},
	"via":          {"Router that leads there, on the subnet", "10.20.0.254"},
	"metric":       {"", 100},
	"ntp":          {"Time servers that machines are told; empty: none", []string{"10.20.0.2"}},
	"mtu":          {"Largest packet, in bytes, 576 to 9216", 1500},
	"ranges":       {"Runs of addresses that IPAM does not allocate", nil},
	"subnets":      {"Subnets on it", nil},
	"first":        {"First address of it", "10.20.0.200"},
	"last":         {"Last address of it", "10.20.0.250"},
	"hostname":     {"Host name that the client says it has; absent: none", "web-01"},
	"url":          {"URL of it", "https://10.0.0.5"},
	"username":     {"User name to log in to the BMC with", "sprout"},
	"password":     {"Password to log in to the BMC with, write-only: sealed at rest and never answered", "correct horse"},
	"driver":       {"Driver of it; absent: none is known", "virtio_net"},
	"link":         {"It has a carrier", true},
	"vendor":       {"Vendor, as it says itself; empty: it does not say", "Acme"},
	"model":        {"Model, as it says itself; empty: it does not say", "R1"},
	"serial":       {"Serial number, as it says itself; absent: it does not say", "S3CR14L"},
	"wwn":          {"World Wide Name of the disk; absent: it has none", "0x5000c500a1b2c3d4"},
	"bus":          {"What it is attached to; absent: not known", "nvme"},
	"bytes":        {"Size in bytes", 480103981056},
	"rotational":   {"It is a hard disk, not flash; in a rule, absent: either", false},
	"readOnly":     {"It cannot be written to", false},
	"minBytes":     {"At least so many bytes; 0: any size", 100000000000},
	"cpu":          {"Its processors taken together", nil},
	"dimms":        {"Its memory modules; absent: the firmware does not list them", nil},
	"disks":        {"Its disks that can be written to", nil},
	"pci":          {"Functions on its PCI bus", nil},
	"memoryBytes":  {"Memory in bytes", 68719476736},
	"sockets":      {"How many processors", 2},
	"cores":        {"How many cores, in all sockets together", 32},
	"threads":      {"How many hardware threads, in all cores together", 64},
	"slot":         {"Where it sits, as the firmware calls it", "DIMM_A1"},
	"address":      {"Address of it", "0000:00:03.0"},
	"device":       {"Device that it is of", "vda"},
	"test":         {"Name of the test", "disk-read"},
	"metrics":      {"Figures that the test measured", nil},
	"value":        {"The figure, in its unit", 512.5},
	"unit":         {"Unit of the figures", "bytes"},
	"done":         {"How much is done, in the unit", 315621376},
	"total":        {"How much there is to do, in the unit; 0: it cannot be told", 734003200},
	"what":         {"What happened", "dhcp-discover"},
	"noun":         {"What kind of thing it is about", "machine"},
	"why":          {"Why it is so long, in words for people", "set by admin"},
	"steps":        {"The steps so far, in their order", nil},
	"items":        {"The items of this page, in the order that was asked for; empty: there are none", nil},
	"machines":     {"How many machines", 12},
	"sites":        {"What it costs at each site", nil},
	"action":       {"The action that was asked for", "deploy"},
	"agent":        {"The agent as it is now", nil},
	"jwt":          {"What the agent's key may do on the bus, signed by the control plane", "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.e30.c2ln"},
	"intact":       {"The whole chain fits", true},
	"end":          {"true: it is the last line", true},
	"compression":  {"How it is stored: none, gzip, xz or zstd", "zstd"},
	"capability":   {"What it does: ipam, network, dhcp, dns, hwtest, alloc, power", "dns"},
	"description":  {"What it is, in words for people", "answers for the names of the site's machines"},
	"selectable":   {"The configuration may choose it", true},
	"selected":     {"It is the one in use", true},
	"field":        {"Name of the field, with dots between the levels", "bmc.url"},
	"minCores":     {"At least so many cores; 0: any number", 16},
	"minDisks":     {"At least so many disks; 0: any number", 2},
	"minNics":      {"At least so many network ports; 0: any number", 2},

	"Address.probeAt":             {"When the site's agent looks again whether somebody else uses it; absent: nobody was found to", "2026-11-02T09:30:00Z"},
	"Address.takenBy":             {"MAC address of who was found to use it without having been given it", "52:54:00:12:34:56"},
	"Address.kind":                {"What it is for: a machine; by hand; a hold; or quarantined, because somebody else has it", "machine"},
	"Address.name":                {"Fully qualified name that is published for it", "web-01.lon1.example"},
	"Agent.address":               {"IP address of the agent on the provisioning network; absent: not said yet", "10.20.0.2"},
	"AllocateMachineBody.name":    {"Only the machine of this name; empty: any", "web-01"},
	"AllocateMachineBody.pool":    {"Only of this pool; empty: any", "general"},
	"AllocateMachineBody.site":    {"Only at this site: id, name or unique prefix; empty: any", "lon1"},
	"AllocateMachineBody.zone":    {"Only of this failure zone; empty: any", "row-a"},
	"BootEvent.attempt":           {"Id of the boot attempt", "att_06h0581kkpj38b4hkxptthx06g"},
	"BootEvent.bytes":             {"How many bytes were sent; absent: none", 991232},
	"BMC.driver":                  {"Power provider", "redfish"},
	"BMC.url":                     {"URL of the BMC; absent: the driver needs none", "https://10.0.0.5"},
	"BulkResult.items":            {"What came of each machine, in the order of the request", nil},
	"BusAccess.url":               {"Where the bus is", "nats://centre:4222"},
	"Disk.name":                   {"Kernel name", "nvme0n1"},
	"ExplainedWorkflow.state":     {"State of the workflow", "running"},
	"Explanation.workflow":        {"What it does, or did last; absent: nothing was ever asked of it", nil},
	"Fault.kind":                  {"What may be done about it, as /docs/errors/ explains", "not-found"},
	"Fault.status":                {"Status of HTTP", 404},
	"Image.name":                  {"Name of the image, unique", "debian-12"},
	"Image.architecture":          {"Processor family that it runs on", "amd64"},
	"ImportMachinesBody.machines": {"The machines; one that is refused refuses all", nil},
	"Interface.name":              {"Kernel name", "eno1"},
	"Inventory.interfaces":        {"Its network ports", nil},
	"Lease.state":                 {"What became of it", "bound"},
	"Metric.name":                 {"Name of the figure", "throughput"},
	"Model.name":                  {"Name of the model, as machines say it themselves", "R1"},
	"ModelReport.name":            {"Name of the model, as machines say it themselves", "R1"},
	"ModelReport.steps":           {"How long each step took in past runs, and may take", nil},
	"ModelStep.workflow":          {"Kind of the workflow that the step is of", "deploy"},
	"ModelStep.from":              {"What the limit was made from", "past runs"},
	"StepLimit.from":              {"What the limit was made from", "past runs"},
	"NewToken.name":               {"Name of the token, unique", "ci"},
	"Token.name":                  {"Name of the token, unique", "ci"},
	"Network.name":                {"Unique in the site", "prov"},
	"PlannedDisk.name":            {"Kernel name", "vda"},
	"Problem.site":                {"Id of the site; absent: it is of none", "sit_06h0581dx75751gs2k1jb254d4"},
	"Provider.name":               {"Name of the provider; builtin is the default of each capability", "builtin"},
	"Provider.kind":               {"What it is for", "dns"},
	"Range.kind":                  {"dynamic: leases for machines without an address of their own; reserved: never given out", "dynamic"},
	"StepRecord.name":             {"Name of the step", "write-image"},
	"TestResult.kind":             {"What the test is about", "disk"},
	"UpdateMachineBody.name":      {"New name; absent or null: as it is", "web-02"},
	"UpdateMachineBody.tags":      {"In place of all tags; absent or null: as they are", []string{"gpu"}},
	"UpdateMachineBody.pool":      {"New pool; empty: none; absent or null: as it is", "gpu"},
	"UpdateMachineBody.zone":      {"New failure zone; empty: none; absent or null: as it is", "row-b"},
	"MachineUpdates.tags":         {"In place of all tags; absent or null: as they are", []string{"gpu"}},
	"MachineUpdates.pool":         {"New pool; empty: none; absent or null: as it is", "gpu"},
	"MachineUpdates.zone":         {"New failure zone; empty: none; absent or null: as it is", "row-b"},
	"Workflow.state":              {"State of the workflow", "running"},
	"VersionedWorkflow.state":     {"State of the workflow", "running"},
	"WatchEvent.name":             {"Name of the subject, or of its machine", "web-01"},
	"WatchEvent.what":             {"What became of the subject, or of the stream itself: open, reset and resume", "changed"},
	"WatchEvent.state":            {"State that the change moved the subject to; absent: to none", "ready"},
	"EnrolAgentBody.name":         {"Host name of the agent", "agent1.lon1"},
	"CreateNetworkBody.site":      {"Id, name or unique prefix of a site", "lon1"},
	"NewMachine.site":             {"Id, name or unique prefix of a site", "lon1"},
	"AuditRecord.kind":            {"What acted: a request, a workflow, or the system", "request"},

	// What follows says in its tag what it is; here is how it may look.
	"prefix": {"", 24}, "applied": {"", 4711}, "wanted": {"", 4711}, "online": {"", true}, "badSeq": {"", 4712}, "records": {"", 4711}, "seq": {"", 4711},
	"publicKey": {"", "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"}, "sealKey": {"", "XAB3NANV3M6N7AHSQP2U5FRWKKUT7EG2ZXXABV4XVXYQRJGM4S2CZGHT"},
	"minDisk": {"", 480000000000}, "minMemory": {"", 68719476736}, "hash": {"", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
	"signature": {"", "EC0RkvkfgSDEVhCbpGDQ2eXy8fTOL7pKyIBBXgD4nqJuP0dXG8nHSNuVdGQwGWJHN2zq2cMf8DkQuGx1Ic9jBA"}, "request": {"", "req_5m2kq7x3v8p1w9za"},
	"subject": {"", "mch_06h0581g8eq3vc02k440xw0drg"}, "token": {"", "tok_06h0581e1p2sr6fz9beh5een0c"}, "insecure": {"", false}, "system": {"", "System.Embedded.1"},
	"seen": {"", 42}, "count": {"", 3}, "size": {"", 342}, "plan": {"", true}, "refused": {"", 0}, "ca": {"", "-----BEGIN CERTIFICATE-----\nMIIB…\n-----END CERTIFICATE-----\n"},
	"means": {"", "TFTP was begun and did not come to its end."}, "skipTests": {"", false}, "destructive": {"", 2}, "expirySeconds": {"", 86400}, "idToken": {"", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"},
	"discover": {"", true}, "reserved": {"", []string{"10.20.0.250-10.20.0.254"}}, "vlan": {"", 20}, "neverExpires": {"", false}, "sshKeys": {"", []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ admin@example"}},
	"userData": {"", "#cloud-config\npackages: [vim]\n"}, "protocol": {"", 1}, "heardAt": {"", "2026-11-22T10:00:00Z"}, "help": {"", []string{"sprout boot show web-01"}}, "offline": {"", false},
	"retryAfter": {"", 1}, "title": {"", "Not Found"}, "type": {"", "/docs/errors/not-found"}, "siteNames": {"", []string{"lon1"}},
	"bootModes": {"Boot modes that the image knows: bios, uefi", []string{"bios", "uefi"}}, "digest": {"", "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
	"rawBytes": {"", 2147483648}, "rawDigest": {"", "sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"}, "boot": {"", true}, "speedMbs": {"", 25000},
	"firmware": {"", "Acme 2.4.1 2026-03-01"}, "uuid": {"", "4c4c4544-0035-3010-8052-b4c04f4e3632"}, "clientId": {"", "01525400123456"}, "generation": {"", 7}, "image": {"", "debian-12"},
	"locked": {"", false}, "protected": {"", false}, "secureBoot": {"", true}, "virtualMedia": {"", true}, "powerAt": {"", "2026-11-22T10:00:00Z"}, "revision": {"", 4711}, "testsSkipped": {"", false}, "all": {"", false}, "diskBytes": {"", 480103981056},
	"by": {"", "admin"}, "p50": {"", 312.5}, "p95": {"", 540.0}, "runs": {"", 12}, "lastUsedAt": {"", "2026-11-22T10:00:00Z"}, "class": {"", "0200"}, "next": {"", "bTE3"}, "becomes": {"", "deployed"},
	"purpose": {"", "new rack"}, "destroys": {"", []string{"the address 10.20.0.17"}}, "traffic": {"", 734003200}, "warnings": {"", []string{"the inventory is 90 days old"}}, "empty": {"", false}, "perSec": {"", 209715200.0}, "erase": {"", true},
	"uplink": {"", 734003200}, "message": {"", "the device cannot be read"}, "resource": {"", map[string]any{"id": "mch_06h0581g8eq3vc02k440xw0drg", "name": "web-01"}},
	"AuditEnd.part": {"", false}, "AuditEnd.after": {"", 0}, "BootEvent.from": {"", "10.20.0.17"}, "AuditEnd.last": {"", 4711}, "SiteCost.addresses": {"", 12}, "Enrolment.after": {"", 4711}, "Enrolment.token": {"", "sprout-secret"}, "EnrolAgentBody.token": {"", "sprout-secret"}, "Explanation.attempt": {"", "att_06h0581kkpj38b4hkxptthx06g"},
	"FieldChange.from": {"", "general"}, "FieldChange.to": {"", "gpu"}, "Cost.disks": {"", 4}, "BulkMachinesBody.machines": {"", []string{"web-01", "web-02"}}, "MachineSelector.state": {"", []string{"ready"}},
	"CreateTokenBody.sites": {"", []string{"lon1"}}, "Grant.sites": {"", []string{"sit_06h0581dx75751gs2k1jb254d4"}}, "NewGrant.sites": {"", []string{"lon1"}},
	"NewToken.sites": {"", []string{"sit_06h0581dx75751gs2k1jb254d4"}}, "Token.sites": {"", []string{"sit_06h0581dx75751gs2k1jb254d4"}},
}

// describeWords gives each field and parameter the words that its own tags do
// not say.
func describeWords(doc *huma.OpenAPI) {
	schemas := doc.Components.Schemas.Map()
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		for field, schema := range schemas[name].Properties {
			w := wordFor(name, field)
			if schema.Description == "" {
				schema.Description = w.Doc
			}
			if len(schema.Examples) == 0 && schema.Ref == "" {
				schema.Examples = exampleOf(schema, w)
			}
		}
	}
	for _, of := range Operations() {
		op := operationAt(doc, of.Spec())
		for _, p := range op.Parameters {
			if p.Ref != "" {
				continue
			}
			if w := words[p.Name]; p.Description == "" {
				p.Description = "Only with this: " + lower(w.Doc)
			}
			p.Schema.Description = "" // the parameter says it
		}
	}
}

func wordFor(schema, field string) word {
	if w, ok := words[schema+"."+field]; ok {
		return w
	}
	return words[field]
}

func lower(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToLower(text[:1]) + text[1:]
}

// exampleOf is the example of a word where the schema can have it: the same name
// may be of another type elsewhere.
func exampleOf(s *huma.Schema, w word) []any {
	if len(s.Enum) > 0 {
		if slices.Contains(s.Enum, w.Example) {
			return []any{w.Example}
		}
		return s.Enum[:1]
	}
	raw, err := json.Marshal(w.Example)
	if err != nil || w.Example == nil {
		return nil
	}
	is := map[byte]string{'"': huma.TypeString, '[': huma.TypeArray, '{': huma.TypeObject, 't': huma.TypeBoolean, 'f': huma.TypeBoolean}[raw[0]]
	number := is == "" && (s.Type == huma.TypeInteger && !strings.Contains(string(raw), ".") || s.Type == huma.TypeNumber)
	if is != s.Type && !number && s.Type != "" {
		return nil
	}
	return []any{w.Example}
}
