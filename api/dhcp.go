package api

import "sprout"

// ExplainDHCP names a machine that might ask for an address at a site.
type ExplainDHCP struct {
	SiteRef
	MAC    string `query:"mac" doc:"MAC address of the machine; it is needed" example:"52:54:00:12:34:56"`
	Subnet string `query:"subnet" doc:"Id or prefix of the subnet that it asks from; empty: the agent's own" example:"10.20.0.0/24"`
	IPv6   bool   `query:"ipv6" doc:"Explain DHCPv6" example:"true"`
	Arch   string `query:"arch" doc:"Who asks: bios, uefi, http, ipxe, or the number of an architecture (RFC 4578); empty: an operating system" example:"uefi"`
}

// DHCPExplain is answered by the site's agent: it alone knows its leases.
var DHCPExplain = Op[ExplainDHCP, sprout.DHCPExplanation]{
	Name: "dhcp explain", Method: "GET", Path: "/v1/sites/{site}/dhcp/explain", Role: sprout.Viewer,
	Help: "Say what a site's DHCP server would answer a machine, and why.",
}

// DHCPOptionRef names an option that is set.
type DHCPOptionRef struct {
	Option string `path:"dhcpoption" doc:"Id of a DHCP option that is set"`
}

// SetDHCPOption is the input of DHCPOptionSet.
type SetDHCPOption struct {
	Body struct {
		Site    string `json:"site" doc:"Id, name or unique prefix of a site"`
		Subnet  string `json:"subnet,omitempty" doc:"For the clients of this subnet: id, or its prefix" example:"10.20.0.0/24"`
		Class   string `json:"class,omitempty" maxLength:"200" doc:"For the clients of a class: vendor= (how option 60 begins), user= (option 77), arch= (option 93) and mac= (how the MAC address begins), with commas: all of them must be so" example:"arch=7,vendor=PXEClient"`
		Machine string `json:"machine,omitempty" doc:"For this machine: id, name or site/name" example:"web-01"`
		Version int    `json:"version,omitempty" minimum:"0" maximum:"6" doc:"4: DHCP; 6: DHCPv6; 0: 4" example:"4"`
		Option  string `json:"option" maxLength:"64" doc:"Name of an option, or its number" example:"ntp-servers"`
		Value   string `json:"value" maxLength:"2000" doc:"What it says, as the option has it: addresses and names with commas between them, a number, true or false, a text, or for an option that is not known bytes in hexadecimal" example:"10.20.0.3,10.20.0.4"`
		Always  bool   `json:"always,omitempty" doc:"Sent also to who does not ask for it" example:"true"`
	}
}

// The operations on the options that agents send.
var (
	DHCPOptionSet = Op[SetDHCPOption, sprout.DHCPSetting]{
		Name: "dhcp option set", Method: "POST", Path: "/v1/dhcp/options", Role: sprout.Operator, Help: "Have a site's agent send a DHCP option: to all its clients, or to those of a subnet, of a class, or to one machine.",
	}
	DHCPOptionList = Op[ListOfSite, Page[sprout.DHCPSetting]]{
		Name: "dhcp option list", Method: "GET", Path: "/v1/dhcp/options", Role: sprout.Viewer, Help: "List the DHCP options that are set.",
	}
	DHCPOptionShow = Op[DHCPOptionRef, sprout.DHCPSetting]{
		Name: "dhcp option show", Method: "GET", Path: "/v1/dhcp/options/{dhcpoption}", Role: sprout.Viewer, Help: "Show a DHCP option that is set.",
	}
	DHCPOptionUnset = Op[DHCPOptionRef, None]{
		Name: "dhcp option unset", Method: "DELETE", Path: "/v1/dhcp/options/{dhcpoption}", Role: sprout.Operator, Help: "Take a DHCP option back that is set.",
	}
)

func dhcpOperations() []Operation {
	return []Operation{of(DHCPExplain), of(DHCPOptionSet), of(DHCPOptionList), of(DHCPOptionShow), of(DHCPOptionUnset)}
}
