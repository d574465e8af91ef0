// Package builtin6 is Sprout's own DHCP server for IPv6. Decide, a pure
// function of a message and the site, says what to answer and why; the rest
// reads and writes the wire. It is the sister of package builtin, and knows as
// little: addresses and boot files, not workflows.
//
// RFC 8415 (protocol), 5970 (boot files), 6939 and 8357 (relays), 6355 (DUIDs
// of UUIDs), 3646 (names), 4075 and 5908 (time), 4704 (host names).
package builtin6
