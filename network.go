package sprout

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"slices"
	"time"
)

// A Network is one layer-2 segment of a site.
type Network struct {
	ID       NetworkID `json:"id"`
	Site     SiteID    `json:"site"`
	SiteName string    `json:"siteName"`
	Name     string    `json:"name" doc:"Unique in the site"`
	VLAN     int       `json:"vlan,omitempty" minimum:"0" maximum:"4094" doc:"0: untagged"`
	VRF      string    `json:"vrf,omitempty" doc:"Routing table that it is in: prefixes of two may overlap; empty: the site's usual one"`
	MTU      int       `json:"mtu" minimum:"576" maximum:"9216"`
	Subnets  []Subnet  `json:"subnets"`
}

// A Subnet is an IPv4 or IPv6 prefix on a network. Two sites may use the same,
// and so may two VRFs of one.
type Subnet struct {
	ID        SubnetID      `json:"id"`
	Site      SiteID        `json:"site"`
	Network   NetworkID     `json:"network"`
	VRF       string        `json:"vrf,omitempty" doc:"Of its network"`
	CIDR      netip.Prefix  `json:"cidr"`
	Gateway   netip.Addr    `json:"gateway,omitzero"`
	DNS       []netip.Addr  `json:"dns" doc:"Empty: the site's agent"`
	NTP       []netip.Addr  `json:"ntp"`
	Domain    string        `json:"domain,omitempty" doc:"Domain of its hosts; empty: the site's"`
	Search    []string      `json:"search,omitempty" doc:"Domains that its hosts look names up in; empty: their own"`
	Routes    []Route       `json:"routes,omitempty" doc:"Static routes beside the gateway's"`
	Discover  bool          `json:"discover" doc:"Unknown machines may boot the ramdisk here"`
	Advertise Advertisement `json:"advertise,omitempty" doc:"How IPv6 hosts get their addresses"`
	MTU       int           `json:"mtu"`
	// DHCP and DHCPServers say who leases addresses.
	DHCP        DHCPMode `json:"dhcp,omitempty" enum:"server,proxy,off" doc:"What the agent does for clients: server gives addresses; proxy says what to boot beside another server, which gives them; off answers nothing; absent: server"`
	DHCPServers []string `json:"dhcpServers,omitempty" doc:"Other DHCP servers that belong here, by address or MAC address; any more is the problem rogue-dhcp" example:"[\"10.20.0.2\"]"`
	Ranges      []Range  `json:"ranges"`
}

// A NextPrefix says which prefix a subnet is to have that has none yet: the lowest
// one of Bits bits within From that no subnet of its VRF has a part of.
type NextPrefix struct {
	From    netip.Prefix
	Bits    int
	Gateway string // FirstHost or LastHost of it; "": the subnet's own, if any
}

// The gateways that a NextPrefix may have.
const (
	FirstHost = "first"
	LastHost  = "last"
)

// A Route is a static route of the hosts of a subnet.
type Route struct {
	To     netip.Prefix `json:"to"`
	Via    netip.Addr   `json:"via"`
	Metric int          `json:"metric,omitempty" doc:"The lower one wins; 0: the system's own"`
}

// An Advertisement says what the router advertisements of an IPv6 subnet offer
// (RFC 4861 section 4.2, RFC 8415). Empty: as Managed.
type Advertisement string

const (
	NoAdvertisement Advertisement = "none"      // addresses are static, or another router advertises
	SLAAC           Advertisement = "slaac"     // hosts make their own addresses (RFC 4862)
	Stateless       Advertisement = "stateless" // as SLAAC, and DHCPv6 tells the rest
	Managed         Advertisement = "managed"   // DHCPv6 gives the addresses
)

// A DHCPMode is what the agent does for the DHCP clients of a subnet. Empty:
// DHCPServer.
type DHCPMode string

const (
	DHCPServer DHCPMode = "server" // gives addresses
	DHCPProxy  DHCPMode = "proxy"  // says what to boot, beside another server (PXE 2.1, section 2.2)
	DHCPOff    DHCPMode = "off"    // answers nothing: machines boot by virtual media, or by what another server says
)

// WithDHCP returns those subnets of a link in which the agent answers DHCP: the
// same list where it does in all of them.
func WithDHCP(link []Subnet) []Subnet {
	off := func(s Subnet) bool { return s.DHCP == DHCPOff }
	if !slices.ContainsFunc(link, off) {
		return link
	}
	return slices.DeleteFunc(slices.Clone(link), off)
}

// NoDHCPIn tells whether there are subnets, and the agent answers DHCP in none.
func NoDHCPIn(all []Subnet) bool { return len(all) > 0 && len(WithDHCP(all)) == 0 }

// LinkAt returns the subnets of the layer-2 segment that an address of a VRF
// lies on, the one that contains it first; nil: none does.
//
// A relay names the segment by an address of it (RFC 3527 link selection, or
// its own), and the VRF by RFC 6607's suboption 151: vrf is what it says, and
// said is false where it says none. Then the agent's own VRF comes first, which
// the caller passes as vrf, and after it the only other one that has such an
// address. Where several others have, nothing tells which is meant: nil.
func LinkAt(all []Subnet, vrf string, said bool, at netip.Addr) []Subnet {
	found := -1
	for i := range all {
		switch {
		case !all[i].CIDR.Contains(at) || said && all[i].VRF != vrf:
		case all[i].VRF == vrf:
			return segment(all, i)
		case found >= 0:
			found = len(all) // several
		default:
			found = i
		}
	}
	if found < 0 || found == len(all) {
		return nil
	}
	return segment(all, found)
}

// segment returns all[i] and then the other subnets of its network.
func segment(all []Subnet, i int) []Subnet {
	link := all[i : i+1 : i+1]
	for j := range all {
		if j != i && all[j].Network != "" && all[j].Network == all[i].Network {
			link = append(link, all[j])
		}
	}
	return link
}

// A RangeKind says what the addresses of a range are for.
type RangeKind string

const (
	Dynamic       RangeKind = "dynamic"  // DHCP leases for machines without an address of their own
	ReservedRange RangeKind = "reserved" // never given out by Sprout
)

// A Range is a run of addresses of a subnet, both ends included. What is in no
// range is allocated to machines by IPAM.
type Range struct {
	ID    RangeID    `json:"id"`
	Kind  RangeKind  `json:"kind" enum:"dynamic,reserved"`
	First netip.Addr `json:"first"`
	Last  netip.Addr `json:"last"`
}

// Contains tells whether ip lies in the range.
func (r Range) Contains(ip netip.Addr) bool {
	return r.First.Compare(ip) <= 0 && ip.Compare(r.Last) <= 0
}

// An Address is one allocation of IPAM.
type Address struct {
	ID        AddressID  `json:"id"`
	Site      SiteID     `json:"site"`
	Subnet    SubnetID   `json:"subnet"`
	VRF       string     `json:"vrf,omitempty" doc:"Of its subnet"`
	IP        netip.Addr `json:"ip"`
	Prefix    int        `json:"prefix" doc:"Prefix length of its subnet"`
	Kind      string     `json:"kind" enum:"machine,gateway,agent,manual,hold,quarantined"`
	Machine   MachineID  `json:"machine,omitempty"`
	MAC       string     `json:"mac,omitempty"`
	Name      string     `json:"name,omitempty" doc:"Fully qualified name published for it"`
	Purpose   string     `json:"purpose,omitempty" doc:"What it is held for, or why it is kept away from"`
	ExpiresAt *time.Time `json:"expiresAt,omitempty" doc:"When it is free again by itself; absent: never"`
	TakenBy   string     `json:"takenBy,omitempty" doc:"MAC address of who was found to use it without having been given it"`
	ProbeAt   *time.Time `json:"probeAt,omitempty" doc:"When the site's agent looks again whether somebody else uses it; absent: nobody was found to"`
	CreatedAt time.Time  `json:"createdAt"`
}

// An AddressConflict is an address that somebody uses who was not given it.
type AddressConflict struct {
	Subnet  SubnetID   `json:"subnet"`
	IP      netip.Addr `json:"ip"`
	MAC     string     `json:"mac,omitempty"`     // of who uses it; empty: not known
	Machine MachineID  `json:"machine,omitempty"` // who was given it and does not use it, and is to have another; empty: who has it keeps it
	By      string     `json:"by,omitempty"`      // how it was found, in words
}

// An AddressProbe is what a site's agent finds when it asks its link who has an
// address.
type AddressProbe struct {
	IP    netip.Addr `json:"ip" doc:"The address that was asked for"`
	State string     `json:"state" enum:"free,taken,unasked" doc:"free: nobody answered; taken: somebody did; unasked: the agent could not ask"`
	MAC   string     `json:"mac,omitempty" doc:"MAC address of who answered"`
	Why   string     `json:"why,omitempty" doc:"Why it was not asked"`
}

// The states of an AddressProbe.
const (
	ProbeFree    = "free"
	ProbeTaken   = "taken"
	ProbeUnasked = "unasked"
)

// An AddressBlock asks for addresses of one subnet that are for no machine of
// Sprout's.
type AddressBlock struct {
	Subnet  SubnetID
	First   netip.Addr // the first of them; zero: wherever there is room, as low as can be
	Count   int        // one after the other; 0: 1
	Aligned bool       // they are a prefix: Count is a power of two, and the first is a multiple of it
	Name    string
	Purpose string
	For     time.Duration // after it they are free again by themselves; 0: never
}

// A Lease is a DHCP lease that an agent gave.
type Lease struct {
	Site      SiteID     `json:"site"`
	Subnet    SubnetID   `json:"subnet"`
	IP        netip.Addr `json:"ip"`
	MAC       string     `json:"mac"`
	ClientID  string     `json:"clientId,omitempty" doc:"Hexadecimal"`
	Hostname  string     `json:"hostname,omitempty"`
	State     string     `json:"state" enum:"offered,bound,released,declined"`
	ExpiresAt time.Time  `json:"expiresAt"`
}

// A Record is one name that a site's DNS answers for. That of a machine has an
// IP, forward and reverse; one made by hand or by an update has a type and data.
type Record struct {
	ID     RecordID   `json:"id,omitempty" doc:"Of a record made by hand"`
	Site   SiteID     `json:"site"`
	Name   string     `json:"name" doc:"Fully qualified, without the final dot"`
	IP     netip.Addr `json:"ip,omitzero" doc:"Of a machine's name; its reverse name is published with it"`
	Type   string     `json:"type,omitempty" doc:"Type of a record made by hand: A, AAAA, CNAME, TXT, SRV, MX or PTR"`
	Data   string     `json:"data,omitempty" doc:"What a record made by hand says, as in a zone file; a TXT's text as it is" example:"10 mail.lon1.example"`
	VRF    string     `json:"vrf,omitempty" doc:"Of the address: two may have the same"`
	TTL    int        `json:"ttl" doc:"Seconds" example:"60"`
	Source string     `json:"source,omitempty" enum:"machine,manual,update" doc:"Who made it; update: a client at the site (RFC 2136)"`
}

// Who made a record.
const (
	MachineRecord = "machine" // Sprout, for a machine
	ManualRecord  = "manual"  // an operator
	UpdateRecord  = "update"  // a client at the site, by RFC 2136
)

// Key names a record that has a type, at its site and in messages.
func (r Record) Key() string {
	if r.ID != "" {
		return string(r.ID)
	}
	return r.Name + " " + r.Type + " " + r.Data
}

// Revision is the part of the entity tag that If-Match compares: what was
// decided of the network, not who uses it.
func (n Network) Revision() string { return digest(n) }

// Revision is the part of the entity tag that If-Match compares.
func (s Subnet) Revision() string { return digest(s) }

func digest(v any) string {
	raw, _ := json.Marshal(v) // texts, numbers and addresses always encode
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:6])
}
