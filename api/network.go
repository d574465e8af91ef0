package api

import "sprout"

// NetworkRef names a network by id, name or unique prefix.
type NetworkRef struct {
	Network string `path:"network" doc:"Id, name, site/name or unique prefix of a network"`
}

// CreateNetwork is the input of NetworkCreate. Addresses are text, so that what
// is wrong with them is said in our words.
type CreateNetwork struct {
	Body struct {
		Site string `json:"site" doc:"Id, name or unique prefix of a site"`
		Name string `json:"name" doc:"Unique in the site" example:"provisioning"`
		VLAN int    `json:"vlan,omitempty" minimum:"0" maximum:"4094" doc:"0: untagged"`
		VRF  string `json:"vrf,omitempty" maxLength:"63" doc:"Routing table that it is in: prefixes of two may overlap; empty: the site's usual one"`
		MTU  int    `json:"mtu,omitempty" minimum:"0" maximum:"9216" doc:"Bytes; 0: 1500"`
		NewSubnet
	}
}

// A NewSubnet is a subnet that is to be.
type NewSubnet struct {
	CIDR        string               `json:"cidr,omitempty" example:"10.20.0.0/24"`
	Gateway     string               `json:"gateway,omitempty" example:"10.20.0.1"`
	DNS         []string             `json:"dns,omitempty" doc:"Name servers; none: the site's agent"`
	NTP         []string             `json:"ntp,omitempty" doc:"Time servers"`
	Domain      string               `json:"domain,omitempty" maxLength:"253" doc:"Domain of its hosts; empty: the site's"`
	Search      []string             `json:"search,omitempty" doc:"Domains that its hosts look names up in; none: their own"`
	Routes      []NewRoute           `json:"routes,omitempty" maxItems:"64" doc:"Static routes beside the gateway's"`
	Advertise   sprout.Advertisement `json:"advertise,omitempty" enum:"none,slaac,stateless,managed" doc:"How IPv6 hosts get their addresses"`
	Dynamic     []string             `json:"dynamic,omitempty" doc:"Ranges FIRST-LAST for leases to machines without an address of their own" example:"[\"10.20.0.100-10.20.0.199\"]"`
	Reserved    []string             `json:"reserved,omitempty" doc:"Ranges FIRST-LAST that Sprout never gives out"`
	Discover    bool                 `json:"discover,omitempty" doc:"Unknown machines may boot the ramdisk here"`
	DHCP        sprout.DHCPMode      `json:"dhcp,omitempty" enum:"server,proxy,off" doc:"server: the agent gives addresses; proxy: it only says what to boot, beside another server; off: it answers no DHCP at all"`
	DHCPServers []string             `json:"dhcpServers,omitempty" maxItems:"32" doc:"Other DHCP servers that belong here, by address or MAC address" example:"[\"10.20.0.2\"]"`
}

// A NewRoute is a static route as it is asked for.
type NewRoute struct {
	To     string `json:"to" doc:"Prefix that it leads to" example:"10.30.0.0/16"`
	Via    string `json:"via" doc:"Router that leads there, on the subnet" example:"10.20.0.254"`
	Metric int    `json:"metric,omitempty" minimum:"0" doc:"The lower one wins; 0: the system's own"`
}

// A NetworkReport is a network with what its addresses are used for.
type NetworkReport struct {
	sprout.Network
	Usage      []sprout.Usage `json:"usage" doc:"Of each subnet, in their order"`
	Configured []string       `json:"configured,omitempty" doc:"Machines whose network configuration has addresses of a subnet of it: while there are any, it stays" example:"[\"web-01\"]"`
}

// UpdateNetwork is the input of NetworkUpdate. What is absent stays.
type UpdateNetwork struct {
	NetworkRef
	Body struct {
		Name *string `json:"name,omitempty" doc:"Unique in the site"`
		VLAN *int    `json:"vlan,omitempty" minimum:"0" maximum:"4094" doc:"0: untagged"`
		VRF  *string `json:"vrf,omitempty" maxLength:"63" doc:"Another routing table: only while no address of it is in use"`
		MTU  *int    `json:"mtu,omitempty" minimum:"576" maximum:"9216" doc:"Bytes; its subnets that had its MTU follow"`
	}
}

// ListNetworks narrows a list of networks.
type ListNetworks struct {
	ListOfSite
	Sort string `query:"sort" enum:"name,-name,created,-created" doc:"Order; a hyphen sorts backwards; empty: name"`
}

// ListAddresses narrows a list of addresses.
type ListAddresses struct {
	ListOfSite
	Kind string `query:"kind" enum:"machine,manual,hold,quarantined" doc:"Only of this kind; empty: all"`
}

// The operations on networks, and the lists of what lies in them.
var (
	NetworkCreate = Op[CreateNetwork, sprout.Network]{
		Name: "network create", Method: "POST", Path: "/v1/networks", Role: sprout.Admin, Status: 201, Help: "Create a network with its subnet.",
	}
	NetworkList = Op[ListNetworks, Page[sprout.Network]]{
		Name: "network list", Method: "GET", Path: "/v1/networks", Role: sprout.Viewer, Help: "List the networks.",
	}
	NetworkShow = Op[NetworkRef, NetworkReport]{
		Name: "network show", Method: "GET", Path: "/v1/networks/{network}", Role: sprout.Viewer, Help: "Show a network, and what its addresses are used for.",
	}
	NetworkUpdate = Op[UpdateNetwork, sprout.Network]{
		Name: "network update", Method: "PATCH", Path: "/v1/networks/{network}", Role: sprout.Admin, Help: "Change a network.",
	}
	NetworkDelete = Op[NetworkRef, None]{
		Name: "network delete", Method: "DELETE", Path: "/v1/networks/{network}", Role: sprout.Admin, Help: "Delete a network that nothing uses.",
	}
	AddressList = Op[ListAddresses, Page[sprout.Address]]{
		Name: "address list", Method: "GET", Path: "/v1/addresses", Role: sprout.Viewer, Help: "List the addresses that are given out.",
	}
	LeaseList = Op[ListOfSite, Page[sprout.Lease]]{
		Name: "lease list", Method: "GET", Path: "/v1/leases", Role: sprout.Viewer, Help: "List the DHCP leases that agents reported.",
	}
)

func networkOperations() []Operation {
	return []Operation{
		of(NetworkCreate), of(NetworkList), of(NetworkShow), of(NetworkUpdate), of(NetworkDelete),
		of(SubnetCreate), of(SubnetNext), of(SubnetList), of(SubnetShow), of(SubnetUpdate), of(SubnetDelete), of(RangeCreate), of(RangeUpdate), of(RangeDelete), of(AddressList), of(LeaseList),
	}
}
