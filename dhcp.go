package sprout

import "net/netip"

// A DHCPQuestion is one machine that might ask for an address.
type DHCPQuestion struct {
	MAC      string   `json:"mac"`
	Version  int      `json:"version,omitempty" doc:"6: of DHCPv6; 0: of DHCP"`
	Subnet   SubnetID `json:"subnet,omitempty" doc:"Id, or its prefix; empty: the agent's own"`
	Firmware string   `json:"firmware,omitempty" doc:"bios, uefi, http, ipxe, or the number of an architecture; empty: an operating system"`
}

// A DHCPExplanation is what the machine would get, and why.
type DHCPExplanation struct {
	IP       netip.Addr   `json:"ip,omitzero" doc:"The address that it would be offered; absent: no answer" example:"10.20.0.100"`
	BootFile string       `json:"bootFile,omitempty" doc:"TFTP name or URL of what it would load; absent: nothing" example:"snponly.efi"`
	Reason   string       `json:"reason" doc:"Why, in words" example:"offers 10.20.0.100: a free address of the dynamic range"`
	Subnet   netip.Prefix `json:"subnet,omitzero" doc:"The subnet of the address" example:"10.20.0.0/24"`
	To       string       `json:"to,omitempty" doc:"Where the answer would be sent" example:"10.20.0.100:68"`
	Options  []DHCPOption `json:"options,omitempty" doc:"What the answer would say, by number"`
	Omitted  []DHCPOption `json:"omitted,omitempty" doc:"What is set for the machine, but for which the answer has no room"`
}

// A DHCPOption is one option of an answer, and where it comes from.
type DHCPOption struct {
	Code  int    `json:"code" doc:"Number (IANA, BOOTP Vendor Extensions and DHCP Options)" example:"3"`
	Name  string `json:"name" doc:"Name of the option" example:"routers"`
	Value string `json:"value" doc:"What it says" example:"10.20.0.1"`
	From  string `json:"from" doc:"What says so: site, subnet, class, machine, boot, client, relay, or builtin" example:"subnet"`
	// Setting is of an operator.
	Setting OptionID `json:"setting,omitempty" doc:"Id of the setting that says so; absent: no operator set it" example:"opt_06h0581k2q8s5w2c7m1n9p4q6r"`
}
