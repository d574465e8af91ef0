package api

import "sprout"

// ExplainDHCP names a machine that might ask for an address at a site.
type ExplainDHCP struct {
	SiteRef
	MAC    string `query:"mac" doc:"MAC address of the machine; it is needed" example:"52:54:00:12:34:56"`
	Subnet string `query:"subnet" doc:"Id or prefix of the subnet that it asks from; empty: the agent's own" example:"10.20.0.0/24"`
	Arch   string `query:"arch" doc:"Who asks: bios, uefi, http, ipxe, or the number of an architecture (RFC 4578); empty: an operating system" example:"uefi"`
}

// DHCPExplain is answered by the site's agent: it alone knows its leases.
var DHCPExplain = Op[ExplainDHCP, sprout.DHCPExplanation]{
	Name: "dhcp explain", Method: "GET", Path: "/v1/sites/{site}/dhcp/explain", Role: sprout.Viewer,
	Help: "Say what a site's DHCP server would answer a machine, and why.",
}

func dhcpOperations() []Operation { return []Operation{DHCPExplain} }
