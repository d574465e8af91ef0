package sprout

import (
	"net/netip"
	"strings"
)

// CrawlBMCs is the kind of a question whose body is a CrawlQuestion, and whose
// answer is a FoundBMC of each address, in their order.
const CrawlBMCs = "crawl-bmcs"

const (
	MostCrawledAtOnce = 32   // addresses of one question
	MostCrawled       = 4096 // addresses of one crawl
)

// AddressField is where in the URLs of a CrawlQuestion the address goes.
const AddressField = "{address}"

// A CrawlQuestion asks which BMCs are at addresses.
type CrawlQuestion struct {
	Addresses []netip.Addr `json:"addresses"`
	Redfish   string       `json:"redfish,omitempty"` // URL with AddressField; empty: not looked for
	IPMI      string       `json:"ipmi,omitempty"`    // likewise
	Username  string       `json:"username,omitempty"`
	Secret    []byte       `json:"secret,omitempty"` // the password, sealed to the agent; empty: BMCs are not read
	Insecure  bool         `json:"insecure,omitempty"`
}

// BMCURL is the URL of the BMC at an address; those of IPv6 get brackets.
func BMCURL(form string, ip netip.Addr) string {
	host := ip.String()
	if ip.Is6() {
		host = "[" + host + "]"
	}
	return strings.ReplaceAll(form, AddressField, host)
}

// A CrawlState is what came of looking for a BMC at one address.
type CrawlState string

const (
	BMCSilent    CrawlState = "silent"    // nothing answers
	BMCOther     CrawlState = "not-a-bmc" // something else answers
	BMCSeen      CrawlState = "seen"      // a BMC answers; there were no credentials to read it with
	BMCRead      CrawlState = "read"      // it told of its systems
	BMCRefused   CrawlState = "refused"   // it refused the credentials
	BMCUntried   CrawlState = "untried"   // the credentials were not tried, so that no account is locked
	BMCUntrusted CrawlState = "untrusted" // its certificate is of no authority that is trusted
	BMCBroken    CrawlState = "failed"    // it did not answer as it should
)

// A FoundBMC is what a site's agent found at one address.
type FoundBMC struct {
	Address netip.Addr    `json:"address" doc:"Where it was looked for" example:"10.0.5.11"`
	State   CrawlState    `json:"state" enum:"silent,not-a-bmc,seen,read,refused,untried,untrusted,failed" doc:"What came of it; the credentials are tried once at each BMC, and not at all where it is untried" example:"read"`
	Driver  string        `json:"driver,omitempty" doc:"How it can be driven: redfish or ipmi" example:"redfish"`
	URL     string        `json:"url,omitempty" doc:"Where it answers" example:"https://10.0.5.11"`
	Vendor  string        `json:"vendor,omitempty" doc:"What it says without being logged in to" example:"Dell"`
	Why     string        `json:"why,omitempty" doc:"Why it is no more than that, in words for people" example:"it refuses the user name or password"`
	Remedy  string        `json:"remedy,omitempty" doc:"What helps, as a command where there is one" example:"sprout bmc crawl lon1 10.0.5.11 --bmc-user root --bmc-password -"`
	Account string        `json:"account,omitempty" doc:"Name of the machine with whose account it was read, as the BMC is that machine's already" example:"web-01"`
	Systems []FoundSystem `json:"systems,omitempty" doc:"Its systems: more than one in a chassis of several nodes"`
}

// A SystemState is what a found system is to Sprout.
type SystemState string

const (
	SystemNew        SystemState = "new"        // no machine is it
	SystemKnown      SystemState = "known"      // a machine is
	SystemRegistered SystemState = "registered" // a machine was made of it just now
	SystemUnfit      SystemState = "unfit"      // no machine can be made of it, for it does not tell enough
	SystemClash      SystemState = "clash"      // several machines could be it, or its name is taken
)

// A FoundSystem is one machine behind a BMC, as that tells of it. What it does not
// tell is empty.
type FoundSystem struct {
	ID          string     `json:"id,omitempty" doc:"Redfish id of the ComputerSystem; absent with IPMI" example:"System.Embedded.1"`
	Vendor      string     `json:"vendor,omitempty" doc:"Manufacturer" example:"Dell Inc."`
	Model       string     `json:"model,omitempty" doc:"Model" example:"PowerEdge R650"`
	Serial      string     `json:"serial,omitempty" doc:"Serial number" example:"CNFCP0012300AB"`
	SKU         string     `json:"sku,omitempty" doc:"Stock keeping unit: some makes, as Dell, have here what SMBIOS calls the serial number" example:"7HJ2XK3"`
	UUID        string     `json:"uuid,omitempty" doc:"System UUID" example:"4c4c4544-0048-4a10-8032-b7c04f584b33"`
	Firmware    string     `json:"firmware,omitempty" doc:"Version of the system's own firmware" example:"2.19.1"`
	BMCFirmware string     `json:"bmcFirmware,omitempty" doc:"Version of the BMC's firmware" example:"7.00.60.00"`
	Power       PowerState `json:"power,omitempty" enum:"on,off,unknown" doc:"Its power" example:"off"`
	MACs        []string   `json:"macs,omitempty" doc:"Of its network ports, lower case with colons; IPMI does not tell" example:"[\"52:54:00:12:34:56\"]"`

	State       SystemState `json:"state,omitempty" enum:"new,known,registered,unfit,clash" doc:"What it is to Sprout: new, a machine that is known, registered by this crawl, unfit to be registered, or what clashes" example:"known"`
	MachineName string      `json:"machineName,omitempty" doc:"Name of the machine that it is, or gets" example:"web-01"`
	Why         string      `json:"why,omitempty" doc:"By what it is known, or why it cannot be registered" example:"by a MAC address"`
	Remedy      string      `json:"remedy,omitempty" doc:"What can be done with it, as a command where there is one" example:"sprout machine show web-01"`
}
