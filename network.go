package sprout

import (
	"net/netip"
	"time"
)

// A Network is one layer-2 segment of a site.
type Network struct {
	ID       NetworkID `json:"id"`
	Site     SiteID    `json:"site"`
	SiteName string    `json:"siteName"`
	Name     string    `json:"name" doc:"Unique in the site"`
	VLAN     int       `json:"vlan,omitempty" minimum:"0" maximum:"4094" doc:"0: untagged"`
	MTU      int       `json:"mtu" minimum:"576" maximum:"9216"`
	Subnets  []Subnet  `json:"subnets"`
}

// A Subnet is an IPv4 or IPv6 prefix on a network. Two sites may use the same.
type Subnet struct {
	ID       SubnetID     `json:"id"`
	Site     SiteID       `json:"site"`
	Network  NetworkID    `json:"network"`
	CIDR     netip.Prefix `json:"cidr"`
	Gateway  netip.Addr   `json:"gateway,omitzero"`
	DNS      []netip.Addr `json:"dns" doc:"Empty: the site's agent"`
	NTP      []netip.Addr `json:"ntp"`
	Discover bool         `json:"discover" doc:"Unknown machines may boot the ramdisk here"`
	MTU      int          `json:"mtu"`
	Ranges   []Range      `json:"ranges"`
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
	IP        netip.Addr `json:"ip"`
	Prefix    int        `json:"prefix" doc:"Prefix length of its subnet"`
	Kind      string     `json:"kind" enum:"machine,gateway,agent,manual"`
	Machine   MachineID  `json:"machine,omitempty"`
	MAC       string     `json:"mac,omitempty"`
	Name      string     `json:"name,omitempty" doc:"Fully qualified name published for it"`
	CreatedAt time.Time  `json:"createdAt"`
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

// A Record is one name that a site's DNS answers for, forward and reverse.
type Record struct {
	Site SiteID     `json:"site"`
	Name string     `json:"name" doc:"Fully qualified, without the final dot"`
	IP   netip.Addr `json:"ip"`
	TTL  int        `json:"ttl" doc:"Seconds"`
}
