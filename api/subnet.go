package api

import (
	"net/netip"

	"sprout"
)

// SubnetRef names a subnet by id, or by its prefix where that is the only one.
type SubnetRef struct {
	Subnet string `path:"subnet" doc:"Id, prefix or site/prefix of a subnet" example:"10.20.0.0/24"`
}

// CreateSubnet is the input of SubnetCreate.
type CreateSubnet struct {
	Body struct {
		Network string `json:"network" doc:"Id, name, site/name or unique prefix of a network" example:"provisioning"`
		MTU     int    `json:"mtu,omitempty" minimum:"0" maximum:"9216" doc:"Bytes; 0: its network's"`
		From    string `json:"from,omitempty" doc:"In place of cidr: it gets the lowest prefix that is free within this one. The gateway may be first or last then: the first or last address that a host may have" example:"10.0.0.0/8"`
		Prefix  int    `json:"prefix,omitempty" minimum:"0" maximum:"128" doc:"Length of the prefix that it gets of from" example:"26"`
		NewSubnet
	}
}

// NextSubnet is the input of SubnetNext.
type NextSubnet struct {
	NetworkRef
	From    string `query:"from" doc:"Prefix in which to look" example:"10.0.0.0/8"`
	Prefix  int    `query:"prefix" minimum:"1" maximum:"128" doc:"Length of the prefix that is wanted" example:"26"`
	Gateway string `query:"gateway" enum:"first,last" doc:"Which address of it would be the gateway; empty: none"`
}

// A FreeSubnet is a prefix that a subnet of a network could have.
type FreeSubnet struct {
	CIDR    netip.Prefix     `json:"cidr" doc:"The lowest prefix that is free"`
	Gateway netip.Addr       `json:"gateway,omitzero" doc:"The address of it that was asked for"`
	Network sprout.NetworkID `json:"network"`
	VRF     string           `json:"vrf,omitempty" doc:"Of the network: no subnet of it has a part of the prefix"`
}

// UpdateSubnet is the input of SubnetUpdate. What is absent stays; what is empty
// is taken away.
type UpdateSubnet struct {
	SubnetRef
	Body struct {
		CIDR        *string               `json:"cidr,omitempty" doc:"Another prefix: what is in use, and the ranges, must lie in it"`
		Gateway     *string               `json:"gateway,omitempty" doc:"Empty: none"`
		DNS         *[]string             `json:"dns,omitempty" doc:"Name servers; none: the site's agent"`
		NTP         *[]string             `json:"ntp,omitempty" doc:"Time servers"`
		Domain      *string               `json:"domain,omitempty" maxLength:"253" doc:"Domain of its hosts; empty: the site's"`
		Search      *[]string             `json:"search,omitempty" doc:"Domains that its hosts look names up in; none: their own"`
		Routes      *[]NewRoute           `json:"routes,omitempty" maxItems:"64" doc:"Static routes, in place of those that there are"`
		Advertise   *sprout.Advertisement `json:"advertise,omitempty" enum:"none,slaac,stateless,managed" doc:"How IPv6 hosts get their addresses"`
		Discover    *bool                 `json:"discover,omitempty" doc:"Unknown machines may boot the ramdisk here"`
		DHCP        *sprout.DHCPMode      `json:"dhcp,omitempty" enum:"server,proxy,off" doc:"server: the agent gives addresses; proxy: it only says what to boot, beside another server; off: it answers no DHCP at all"`
		DHCPServers *[]string             `json:"dhcpServers,omitempty" maxItems:"32" doc:"Other DHCP servers that belong here, by address or MAC address" example:"[\"10.20.0.2\"]"`
		MTU         *int                  `json:"mtu,omitempty" minimum:"576" maximum:"9216" doc:"Bytes, not more than its network's"`
	}
}

// A SubnetReport is a subnet with what its addresses are used for.
type SubnetReport struct {
	sprout.Subnet
	Usage      sprout.Usage `json:"usage" doc:"What its addresses are used for"`
	Configured []string     `json:"configured,omitempty" doc:"Machines whose network configuration has addresses of it: while there are any, it stays" example:"[\"web-01\"]"`
}

// ListSubnets narrows a list of subnets.
type ListSubnets struct {
	ListOfSite
	Network string `query:"network" doc:"Only of this network: id, name or site/name"`
}

// CreateRange is the input of RangeCreate.
type CreateRange struct {
	SubnetRef
	Body struct {
		Kind  sprout.RangeKind `json:"kind" enum:"dynamic,reserved" doc:"dynamic: for leases; reserved: never given out by Sprout"`
		Range string           `json:"range" doc:"FIRST-LAST, both included, or one address" example:"10.20.0.100-10.20.0.199"`
	}
}

// RangeRef names a range.
type RangeRef struct {
	SubnetRef
	Range string `path:"range" doc:"Id of a range, or FIRST-LAST" example:"10.20.0.100-10.20.0.199"`
}

// UpdateRange is the input of RangeUpdate. What is absent stays.
type UpdateRange struct {
	RangeRef
	Body struct {
		Kind  *sprout.RangeKind `json:"kind,omitempty" enum:"dynamic,reserved" doc:"dynamic: for leases; reserved: never given out by Sprout"`
		Range *string           `json:"range,omitempty" doc:"FIRST-LAST, both included, or one address" example:"10.20.0.100-10.20.0.149"`
	}
}

// The operations on subnets and their ranges.
var (
	SubnetCreate = Op[CreateSubnet, sprout.Subnet]{
		Name: "subnet create", Method: "POST", Path: "/v1/subnets", Role: sprout.Admin, Status: 201, Help: "Add a subnet to a network.",
	}
	SubnetNext = Op[NextSubnet, FreeSubnet]{
		Name: "subnet next", Method: "GET", Path: "/v1/networks/{network}/next-subnet", Role: sprout.Viewer, Help: "Show the next free prefix of a length, which a subnet could have.",
	}
	SubnetList = Op[ListSubnets, Page[sprout.Subnet]]{
		Name: "subnet list", Method: "GET", Path: "/v1/subnets", Role: sprout.Viewer, Help: "List the subnets by prefix.",
	}
	SubnetShow = Op[SubnetRef, SubnetReport]{
		Name: "subnet show", Method: "GET", Path: "/v1/subnets/{subnet}", Role: sprout.Viewer, Help: "Show a subnet, and what its addresses are used for.",
	}
	SubnetUpdate = Op[UpdateSubnet, sprout.Subnet]{
		Name: "subnet update", Method: "PATCH", Path: "/v1/subnets/{subnet}", Role: sprout.Admin, Help: "Change a subnet, without taking addresses from who uses them.",
	}
	SubnetDelete = Op[SubnetRef, None]{
		Name: "subnet delete", Method: "DELETE", Path: "/v1/subnets/{subnet}", Role: sprout.Admin, Help: "Delete a subnet that nothing uses.",
	}
	RangeCreate = Op[CreateRange, sprout.Subnet]{
		Name: "range create", Method: "POST", Path: "/v1/subnets/{subnet}/ranges", Role: sprout.Admin, Status: 201, Help: "Set a run of addresses of a subnet aside.",
	}
	RangeUpdate = Op[UpdateRange, sprout.Subnet]{
		Name: "range update", Method: "PATCH", Path: "/v1/subnets/{subnet}/ranges/{range}", Role: sprout.Admin, Help: "Change a range, without taking addresses from who uses them.",
	}
	RangeDelete = Op[RangeRef, sprout.Subnet]{
		Name: "range delete", Method: "DELETE", Path: "/v1/subnets/{subnet}/ranges/{range}", Role: sprout.Admin, Help: "Delete a range that nothing is leased from.",
	}
)
