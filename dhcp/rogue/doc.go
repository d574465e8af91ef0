// Package rogue looks for DHCP servers that do not belong on the provisioning
// network: it asks for an address now and then, as a client that nobody knows,
// and hears who answers. It takes no address, and must not know what the agent's
// own servers answer.
//
// RFC 2131 (DHCPDISCOVER and who answers it), RFC 8415 (Solicit).
package rogue
