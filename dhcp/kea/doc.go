// Package kea has ISC Kea answer DHCPv4 in place of the agent. It tells Kea what
// to do over its control channel: the whole configuration that follows from what
// the centre said, tested before it is set, and never a restart. It reads back
// Kea's leases, so that all that stands on them stands on Kea's.
//
// It knows Kea's configuration and commands (Kea Administrator Reference Manual
// 2.2), and must not know why a machine boots.
package kea
