package sprout

import (
	"strings"
	"time"
)

// A Code names a kind of problem for ever; docs and alerts refer to it.
type Code string

// Type is the URI reference of the code's page, which every server has: what
// RFC 9457 calls the type of a problem.
func (c Code) Type() string { return "/docs/problems/" + string(c) }

// A Severity says how soon somebody should look.
type Severity string

const (
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// A Problem is something wrong now.
type Problem struct {
	ID        ProblemID  `json:"id"`
	Code      Code       `json:"code"`
	Type      string     `json:"type" doc:"URI reference of the page that explains the code, as in RFC 9457" example:"/docs/problems/tftp-stalled"`
	Severity  Severity   `json:"severity"`
	Site      SiteID     `json:"site,omitempty"`
	Subject   string     `json:"subject" doc:"Id of what it is about"`
	Name      string     `json:"name" doc:"Name of what it is about"`
	Reason    string     `json:"reason"`
	Evidence  string     `json:"evidence,omitempty"`
	Remedy    string     `json:"remedy"`
	Since     time.Time  `json:"since"`
	ClearedAt *time.Time `json:"clearedAt,omitempty"`
}

// The problem codes.
const (
	BMCUnreachable    Code = "bmc-unreachable"
	BMCDenied         Code = "bmc-denied"
	BMCFailed         Code = "bmc-failed"
	PowerNotChanged   Code = "power-not-changed"
	MediaRefused      Code = "media-refused"
	MediaNotFetched   Code = "media-not-fetched"
	MediaNotBooted    Code = "media-not-booted"
	NoRamdisk         Code = "no-ramdisk"
	NoDiscover        Code = "dhcp-no-discover"
	NoDHCP            Code = "dhcp-off"
	OfferIgnored      Code = "dhcp-offer-ignored"
	OtherServer       Code = "dhcp-other-server"
	NoAddress         Code = "dhcp-no-address"
	RogueDHCP         Code = "rogue-dhcp"
	NoLoader          Code = "no-loader"
	LoaderNotFetched  Code = "loader-not-fetched"
	WrongLoader       Code = "wrong-loader"
	TFTPStalled       Code = "tftp-stalled"
	LoaderRefused     Code = "loader-refused"
	LoaderSilent      Code = "loader-silent"
	BootRefused       Code = "boot-refused"
	KernelNotFetched  Code = "kernel-not-fetched"
	KernelSilent      Code = "kernel-silent"
	AgentUnreached    Code = "agent-unreached"
	DiskNotBooted     Code = "disk-not-booted"
	RamdiskSilent     Code = "ramdisk-silent"
	PowerLost         Code = "power-lost"
	NoDiskMatches     Code = "no-disk-matches"
	DiskAmbiguous     Code = "disk-ambiguous"
	DiskTooSmall      Code = "disk-too-small"
	DiskFailed        Code = "disk-failed"
	DigestMismatch    Code = "image-digest-mismatch"
	ImageUnavailable  Code = "image-unavailable"
	VerifyFailed      Code = "verify-failed"
	EraseFailed       Code = "erase-failed"
	LayoutFailed      Code = "layout-failed"
	DisksNotErased    Code = "disks-not-erased"
	NoPhoneHome       Code = "no-phone-home"
	TestFailed        Code = "hardware-test-failed"
	HardwareMissing   Code = "hardware-missing"
	HardwareOutlier   Code = "hardware-outlier"
	HardwareRestarted Code = "hardware-restarted"
	HardwareChanged   Code = "hardware-changed"
	BMCElsewhere      Code = "bmc-elsewhere"
	SubnetFull        Code = "subnet-full"
	AddressTaken      Code = "address-conflict"
	AgentOffline      Code = "agent-offline"
	AgentVersion      Code = "agent-version"
	ChangeRefused     Code = "change-refused"
	FactRefused       Code = "fact-refused"
	RecordRefused     Code = "record-refused"
	FactsMissing      Code = "facts-missing"
	DiskFull          Code = "disk-full"
	ClockWrong        Code = "clock-wrong"
	BusFull           Code = "bus-full"
	DownloadsStuck    Code = "downloads-stuck"
	KeaUnreachable    Code = "kea-unreachable"
	KeaRefused        Code = "kea-refused"
	KeaChanged        Code = "kea-changed"

	PowerDNSUnreachable Code = "powerdns-unreachable"
	PowerDNSRefused     Code = "powerdns-refused"
	PowerDNSChanged     Code = "powerdns-changed"

	CertificateExpired Code = "certificate-expired"
	DatabaseReadOnly   Code = "database-read-only"
	DatabaseSlow       Code = "database-slow"
	DatabaseFull       Code = "database-full"

	RetiredBooted Code = "retired-booted"
	RuleRefused   Code = "rule-refused"

	StepTimeout     Code = "step-timeout"
	UnknownStep     Code = "unknown-step"
	CancelledByUser Code = "cancelled"
	InternalFailure Code = "internal"
)

// A ProblemKind is what a code means and what helps. In a remedy {machine},
// {workflow} and {site} stand for names.
type ProblemKind struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Means    string   `json:"means"`
	Remedy   string   `json:"remedy"`
}

// Problems is the table of problem kinds.
var Problems = []ProblemKind{
	{BMCUnreachable, Critical, "The BMC does not answer.", "check its cable and address, then: sprout workflow retry {workflow}"},
	{BMCDenied, Critical, "The BMC refuses the user name or password.", "sprout machine update {machine} --bmc-user … --bmc-password …, then: sprout workflow retry {workflow}"},
	{BMCFailed, Critical, "The BMC answered with an error.", "sprout workflow retry {workflow}; if it repeats, reset the BMC"},
	{PowerNotChanged, Critical, "The BMC accepted a power command but the machine did not follow.", "look at the machine, then: sprout workflow retry {workflow}"},
	{MediaRefused, Critical, "The BMC has no virtual CD, or does not take the image that the machine is to boot.", "check that its licence has virtual media and that it reaches the site's agent by HTTP, then: sprout workflow retry {workflow}; or where the machine has DHCP: sprout machine update {machine} --virtual-media=false"},
	{MediaNotFetched, Critical, "The BMC took the address of the image that the machine is to boot, and never fetched it.", "check that the BMC reaches the site's agent by HTTP, or set the agent's mediaUrl to where it does: sprout boot show {machine}; then: sprout workflow retry {workflow}"},
	{MediaNotBooted, Critical, "The BMC fetched the image that the machine is to boot, and its ramdisk never reported.", "look at the machine's console: it must boot by UEFI, from the virtual CD, and have the port on the site's network: sprout boot show {machine}; then: sprout workflow retry {workflow}"},
	{NoRamdisk, Critical, "The machine was powered on but its ramdisk never reported.", "check boot order, cable and VLAN: sprout boot show {machine}; then: sprout workflow retry {workflow}"},
	{NoDiscover, Critical, "The machine was powered on but asked for no address: nothing of it reached this network.", "check power, cable, switch port and VLAN, and that network boot is on: sprout boot show {machine}; then: sprout workflow retry {workflow}"},
	{NoDHCP, Critical, "The machine boots from the network where Sprout's DHCP is off.", "where its BMC has virtual media: sprout machine update {machine} --virtual-media; else have the agent say what to boot: sprout subnet update … --dhcp proxy; then: sprout workflow retry {workflow}"},
	{OfferIgnored, Critical, "The machine was offered an address and never took it.", "check that answers reach it (relay, DHCP snooping, VLAN of the answers): sprout boot show {machine}; then: sprout workflow retry {workflow}"},
	{OtherServer, Critical, "Another DHCP server answered the machine, and it took that server's address.", "switch off DHCP on the server that sprout boot show {machine} names, then: sprout workflow retry {workflow}"},
	{RogueDHCP, Critical, "A DHCP server or IPv6 router that does not belong there speaks on the provisioning network: machines may take its address, and boot what it says, or nothing.", "switch it off at the switch port of its MAC address; if it belongs there: sprout subnet update SUBNET --dhcp-server ADDRESS"},
	{NoAddress, Critical, "The machine asked for an address and there was none for it.", "sprout network list, then free addresses or widen the dynamic range, and: sprout workflow retry {workflow}"},
	{NoLoader, Critical, "There is no boot loader for the machine's firmware.", "check the architecture that sprout boot show {machine} names against the boot files of the site's agent"},
	{LoaderNotFetched, Critical, "The machine has an address, and never fetched the boot loader that it was told of.", "check that TFTP (UDP port 69) reaches the site's agent from the machine: sprout boot show {machine}; then: sprout workflow retry {workflow}"},
	{WrongLoader, Critical, "The machine fetched a boot loader of another architecture than its own.", "check for a DHCP option or relay that names another file: sprout boot show {machine}; then: sprout workflow retry {workflow}"},
	{TFTPStalled, Critical, "The boot loader's transfer stopped in the middle: packets get lost.", "check MTU and firewalls between the machine and the site's agent: sprout boot show {machine}; then: sprout workflow retry {workflow}"},
	{LoaderRefused, Critical, "The firmware fetched the boot loader whole and did not run it, as Secure Boot does with an unsigned one.", "sprout machine update {machine} --secure-boot, or switch off Secure Boot in the firmware's setup; then: sprout workflow retry {workflow}"},
	{LoaderSilent, Critical, "The boot loader was fetched whole and asked for nothing after.", "look at the machine's console: its network card may not work with the loader; then: sprout workflow retry {workflow}"},
	{BootRefused, Critical, "The machine asked what to boot and was refused, or sent to its disk.", "sprout boot show {machine} says why; then: sprout workflow retry {workflow}"},
	{KernelNotFetched, Critical, "The machine fetched its boot script but not the whole ramdisk.", "check that HTTP reaches the site's agent from the machine: sprout boot show {machine}; then: sprout workflow retry {workflow}"},
	{KernelSilent, Critical, "The machine fetched the ramdisk, and its kernel was never heard of.", "look at the machine's console, and at its memory: sprout boot show {machine}; then: sprout workflow retry {workflow}"},
	{AgentUnreached, Critical, "The ramdisk runs and has an address, but cannot talk to the site's agent.", "check firewalls between the machine and the site's agent, and the machine's clock: sprout boot show {machine}; then: sprout workflow retry {workflow}"},
	{DiskNotBooted, Critical, "After the install the machine booted from the network again, not from its disk.", "put the disk first in the boot order, then: sprout workflow retry {workflow}"},
	{RamdiskSilent, Critical, "The ramdisk stopped reporting in the middle of its work.", "sprout workflow retry {workflow}"},
	{PowerLost, Critical, "The machine lost power in the middle of its work.", "check its supply, then: sprout workflow retry {workflow}"},
	{NoDiskMatches, Critical, "No disk of the machine matches the rule.", "sprout machine show {machine}, then deploy again with a --disk rule that matches"},
	{DiskAmbiguous, Critical, "Several disks match the rule and none was named.", "sprout machine show {machine}, then deploy again with --disk serial=…"},
	{DiskTooSmall, Critical, "The disk is smaller than the image.", "deploy another image, or name a larger disk with --disk"},
	{DiskFailed, Critical, "Reading or writing the disk failed.", "replace the disk, then: sprout machine commission {machine}"},
	{DigestMismatch, Critical, "The image's bytes do not match its digest.", "sprout workflow retry {workflow}; a bad copy at the site was dropped and is fetched anew"},
	{ImageUnavailable, Critical, "The site could not fetch the image.", "check the link to the control plane, then: sprout workflow retry {workflow}"},
	{VerifyFailed, Critical, "What is on the disk is not what was written.", "replace the disk, then: sprout machine commission {machine}"},
	{LayoutFailed, Critical, "A layout could not be made on the machine's disks, or the root file system in it not be made to boot.", "sprout workflow show {workflow}, then: sprout workflow retry {workflow}"},
	{EraseFailed, Critical, "A disk could not be erased, or was not empty when read back.", "replace the disk, or: sprout workflow retry {workflow}"},
	{DisksNotErased, Critical, "The machine was released by force: its disks may hold what its last owner left, and its system may still run.", "sprout machine release {machine} --erase"},
	{NoPhoneHome, Critical, "The installed system did not report after its reboot.", "look at its console (in a lab: sprout lab console {machine}), then: sprout workflow retry {workflow}"},
	{TestFailed, Critical, "A hardware test failed.", "sprout machine show {machine}, replace the part, then: sprout machine commission {machine}"},
	{HardwareMissing, Critical, "The machine has less than it had: a part is gone, or does not show.", "look for the part, then: sprout machine commission {machine}; or, if it is meant to be gone: sprout machine hardware accept {machine}"},
	{HardwareOutlier, Critical, "A part of the machine is far worse than its sisters in other machines, though it passed its tests.", "sprout machine hardware show {machine}, replace the part, then: sprout machine commission {machine}, with the same tests; or, if it is good enough: sprout machine hardware accept {machine}"},
	{HardwareRestarted, Warning, "The machine restarted while its hardware was tested, and nobody had asked Sprout for it. Its tests went on where they were.", "look at its supply, at its BMC's log and at its console, then: sprout machine commission {machine}, with the same tests"},
	{HardwareChanged, Warning, "The machine's hardware is not as it was: firmware, a part that was added or replaced, or where a cable leads.", "sprout machine hardware show {machine}; if it is meant to be so: sprout machine hardware accept {machine}"},
	{RetiredBooted, Warning, "A machine that was retired has booted at its site. It was given the ramdisk, as any stranger is, and nothing else: nothing is installed on it.", "switch it off and unplug it: it is over a day after its last boot; or take it in anew: sprout machine delete {machine}, and boot it again"},
	{RuleRefused, Warning, "A rule would take the machine in, and cannot give it what it says. The machine waits as it was found.", "sprout rule explain {machine}; then mend the rule: sprout rule set RULE --name …, and: sprout rule run RULE; or take it in by hand: sprout machine accept {machine} --name NAME"},
	{BMCElsewhere, Warning, "The machine says that its BMC is at another address than the one by which Sprout drives it.", "sprout machine update {machine} --bmc-url …, if its BMC has moved; then: sprout machine commission {machine}"},
	{SubnetFull, Critical, "No free address is left in the subnet.", "sprout network list, then free addresses or add a subnet"},
	{AddressTaken, Warning, "An address is used by somebody who was not given it. It is kept away from until nobody answers for it any more; a deploy takes another.", "find who has it by the MAC address in your switches, and give it another address; it is looked at again by itself, or at once by: sprout address probe {site}/ADDRESS"},
	{AgentOffline, Critical, "The site's agent does not answer.", "check the site's link and the agent: journalctl -u sprout-agent"},
	{ChangeRefused, Critical, "The bus does not take a change for the site, and every later change of that site waits behind it. Other sites go on.", "raise the bus's limit that the evidence names: Sprout tries again by itself; or cancel the workflow that it is of, and enrol the site's agent anew: sprout agent token create {site}"},
	{FactRefused, Warning, "News from the site could not be used and was passed over, so that later news does not wait behind it.", "report it with the evidence; what it was about is brought up to date by: sprout machine commission {machine}"},
	{RecordRefused, Critical, "A site does not go by a record that the control plane sent, as it cannot be right. What it went by before stays in force, and everything else goes on.", "mend what the reason names, as by: sprout subnet update PREFIX; the site takes it by itself as soon as it is right"},
	{FactsMissing, Critical, "News from the site is missing, as after the loss of the bus's disk: later news waits for it.", "restore the bus's data, or go on without the lost news: enrol the site's agent anew with sprout agent token create {site}"},
	{AgentVersion, Critical, "The site's agent speaks an older or newer protocol than this control plane can work with; the site works on alone.", "install the agent of the control plane's own version, or of the one before, at site {site}"},
	{DiskFull, Critical, "The disk of an agent or a server has no room: what must be kept before it is answered is not answered, leases included.", "free room on it: it goes on by itself"},
	{ClockWrong, Critical, "A host's clock is wrong, or was set while work ran. Leases and deadlines go on by the time that has passed.", "set the clock by NTP: timedatectl set-ntp true; it goes on by itself"},
	{BusFull, Critical, "The bus has no more room: it takes no news of the site, or drops changes that the site has not taken. Nothing is lost: who sent them keeps them, and the site works on.", "give the bus's disk or its stream more room: everything is sent again by itself, in order"},
	{DownloadsStuck, Warning, "Machines of the site wait for their turn to download an image, and those whose turn it is do not come to an end.", "look at the disk and the link of the machine that the evidence names; or let more download at once: images.atOnce of the agent at site {site}"},
	{KeaUnreachable, Critical, "The site's agent cannot talk to the Kea that answers DHCP there. Kea goes on by what it was told last.", "start Kea at site {site}, and let the agent use its control socket: what changed meanwhile is told to it by itself"},
	{KeaRefused, Critical, "The Kea that answers DHCP at a site does not take what it is told: new machines, subnets and reservations have no effect there.", "mend what the reason names at site {site}: it is tried again by itself"},
	{KeaChanged, Warning, "Somebody else changed the configuration of the Kea that answers DHCP at a site. Sprout put its own parts back.", "find who else configures Kea at site {site}: what is to last belongs into Sprout"},
	{PowerDNSUnreachable, Critical, "The site's agent cannot talk to the PowerDNS that answers for the site's names. PowerDNS goes on by what it was told last.", "start PowerDNS at site {site}, with its API: what changed meanwhile is told to it by itself"},
	{PowerDNSRefused, Critical, "The PowerDNS that answers for a site's names does not take what it is told: names that come and go have no effect there.", "mend what the reason names at site {site}: it is tried again by itself"},
	{PowerDNSChanged, Warning, "Somebody else changed a zone of Sprout's in the PowerDNS that answers for a site's names. Sprout put it back.", "find who else writes to PowerDNS at site {site}: what is to last belongs into Sprout (sprout dns record create)"},
	{CertificateExpired, Critical, "A certificate has run out, or is about to: whoever checks it does not connect any more.", "renew the server's files of tls.certificate: they are read again by themselves; and compare the hosts' clocks"},
	{DatabaseReadOnly, Critical, "PostgreSQL takes no changes: it is a standby, or is set read-only. Sites work on; nothing new can be asked for.", "point database.url at the primary: it goes on by itself"},
	{DatabaseFull, Critical, "The disk of PostgreSQL has no room. Sites work on; what is asked for is refused where keeping it needs room.", "free room on the database's disk: it goes on by itself"},
	{DatabaseSlow, Warning, "PostgreSQL answers slowly: everything that is asked for takes longer.", "look at its disk, at its load and at long transactions: select * from pg_stat_activity"},
	{StepTimeout, Critical, "A step took longer than it may.", "sprout workflow show {workflow}, then: sprout workflow retry {workflow}"},
	{UnknownStep, Critical, "A workflow is at a step that this version does not know.", "run the version that started it: it goes on by itself; or: sprout workflow cancel {workflow}"},
	{CancelledByUser, Warning, "Somebody cancelled the workflow.", "sprout workflow retry {workflow}"},
	{InternalFailure, Critical, "A defect of Sprout.", "sprout workflow retry {workflow}; report it with the evidence"},
}

// Explain fills in severity and remedy of a code from the table.
func Explain(code Code, machine, workflow, site string) (Severity, string) {
	for _, p := range Problems {
		if p.Code == code {
			return p.Severity, strings.NewReplacer("{machine}", machine, "{workflow}", workflow, "{site}", site).Replace(p.Remedy)
		}
	}
	return Critical, "sprout workflow show " + workflow
}

// Means says what a code means; "" where this release does not know it.
func (c Code) Means() string {
	for _, p := range Problems {
		if p.Code == c {
			return p.Means
		}
	}
	return ""
}

// Fail makes the failure of a step.
func Fail(code Code, reason, evidence string) *Failure {
	return &Failure{Code: code, Reason: reason, Evidence: evidence}
}
