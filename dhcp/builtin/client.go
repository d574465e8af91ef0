package builtin

import "github.com/insomniacslk/dhcp/dhcpv4"

// ClientOf names who speaks in the machine, as sprout.BootEvent says, for
// providers whose server is not this one.
func ClientOf(p *dhcpv4.DHCPv4) string { return clientOf(p) }
