package sprout

import "net/netip"

// A NetworkConfig says how the system that is installed on a machine configures
// its network. What it does not name is left alone. Empty: the interface that
// the machine boots from gets one address of the network that is chosen when it
// is deployed.
type NetworkConfig struct {
	Interfaces []InterfaceConfig `json:"interfaces" maxItems:"128" nullable:"false" doc:"The first address of each family gets the machine's own name"`
}

// An InterfaceConfig is one interface of an installed system: a port of the
// machine, or a bond, a VLAN interface or a bridge. Without addresses and DHCP it
// is brought up and has none.
type InterfaceConfig struct {
	Name      string           `json:"name" maxLength:"15" doc:"What the system calls it" example:"bond0"`
	MAC       string           `json:"mac,omitempty" doc:"Of the port that gets the name; empty: the port that has it already" example:"52:54:00:12:34:56"`
	Addresses []StaticAddress  `json:"addresses,omitempty" maxItems:"32" doc:"From IPAM: at most one of each subnet"`
	DHCP4     bool             `json:"dhcp4,omitempty" example:"true" doc:"It asks for an IPv4 address"`
	DHCP6     bool             `json:"dhcp6,omitempty" example:"true" doc:"It asks for an IPv6 address"`
	MTU       int              `json:"mtu,omitempty" minimum:"0" maximum:"9216" doc:"Bytes; 0: that of its subnets, or what lies on it needs"`
	Bond      *Bond            `json:"bond,omitempty" doc:"It is a bond"`
	VLAN      *VLANInterface   `json:"vlan,omitempty" doc:"It is a VLAN of another interface"`
	Bridge    *BridgeInterface `json:"bridge,omitempty" doc:"It is a bridge"`
}

// A StaticAddress is one that IPAM gives out when the machine is deployed.
type StaticAddress struct {
	Subnet  string `json:"subnet" doc:"Prefix or id of a subnet, or name of a network that has one" example:"10.20.0.0/24"`
	IP      string `json:"ip,omitempty" doc:"This one; empty: any that is free" example:"10.20.0.7"`
	Gateway bool   `json:"gateway,omitempty" example:"true" doc:"The default route of its family goes by this subnet's gateway; where none says so, by the first that has one"`
}

// A Bond makes one interface of several (Linux, Documentation/networking/bonding).
type Bond struct {
	Members        []string `json:"members" maxItems:"16" nullable:"false" doc:"Names or MACs of ports" example:"[\"eno1\",\"eno2\"]"`
	Mode           string   `json:"mode,omitempty" enum:"balance-rr,active-backup,balance-xor,broadcast,802.3ad,balance-tlb,balance-alb" doc:"Empty: active-backup"`
	MIIMon         int      `json:"miimon,omitempty" minimum:"0" maximum:"60000" example:"100" doc:"How often links are looked at, in milliseconds; 0: 100"`
	LACPRate       string   `json:"lacpRate,omitempty" enum:"slow,fast" doc:"Of 802.3ad: the partner sends every 30 s, or every second"`
	XmitHashPolicy string   `json:"xmitHashPolicy,omitempty" enum:"layer2,layer3+4,layer2+3,encap2+3,encap3+4" doc:"Of balance-xor, 802.3ad and balance-tlb: what a flow is told by"`
	Primary        string   `json:"primary,omitempty" example:"eno1" doc:"Of active-backup, balance-tlb and balance-alb: the member that is used while it can be"`
}

// A VLANInterface carries the tagged frames of another interface (IEEE 802.1Q).
type VLANInterface struct {
	Parent string `json:"parent" doc:"Name of an interface" example:"bond0"`
	ID     int    `json:"id" minimum:"1" maximum:"4094" doc:"VLAN of a network of the site" example:"100"`
}

// A BridgeInterface is a switch of a host's own (IEEE 802.1D).
type BridgeInterface struct {
	Members      []string `json:"members" maxItems:"64" nullable:"false" doc:"Names of interfaces, or MACs of ports" example:"[\"eno3\"]"`
	STP          bool     `json:"stp,omitempty" example:"true" doc:"It speaks the spanning tree protocol"`
	ForwardDelay int      `json:"forwardDelay,omitempty" minimum:"0" maximum:"30" example:"15" doc:"Seconds that a port listens and learns, each, before it forwards; with stp 2 to 30, 0: 15"`
}

// A LinkSetup is one interface of an installed system, with all that is needed
// to configure it. Those that another needs come before it.
type LinkSetup struct {
	Name      string           `json:"name"`
	MAC       string           `json:"mac"`       // of the port, or of the one that it takes its own from
	Addresses []netip.Prefix   `json:"addresses"` // with the length of their subnets' prefixes
	DHCP4     bool             `json:"dhcp4,omitempty"`
	DHCP6     bool             `json:"dhcp6,omitempty"`
	MTU       int              `json:"mtu,omitempty"`
	Routes    []Route          `json:"routes,omitempty"` // the default one is to 0.0.0.0/0 or ::/0
	DNS       []netip.Addr     `json:"dns,omitempty"`
	Search    []string         `json:"search,omitempty"`
	NTP       []netip.Addr     `json:"ntp,omitempty"`  // time servers; where DHCP configures it, that brings them
	Bond      *Bond            `json:"bond,omitempty"` // its members by name
	VLAN      *VLANInterface   `json:"vlan,omitempty"`
	Bridge    *BridgeInterface `json:"bridge,omitempty"` // its members by name
}

// Port tells whether it is a port of the machine.
func (l LinkSetup) Port() bool { return l.Bond == nil && l.VLAN == nil && l.Bridge == nil }
