// Package builtin is Sprout's own DHCP server for IPv4. Decide, a pure function
// of a packet and the site, says what to answer and why; the rest reads and
// writes the wire. It knows addresses and boot files. It must not know
// workflows, nor what a machine is booted for: that is the boot script's.
//
// RFC 2131 (protocol), 2132 (options), 3046, 3527, 5107, 6607 and 8357 (relays), 3396 (long options), 4361
// and 6842 (client identifiers), 4578 (PXE).
package builtin
