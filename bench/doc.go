// Package bench measures Sprout side by side with what it stands on, in one run
// on one machine: each benchmark prints one Line, and fails where the line is
// outside of its bound. `make bench-api` runs them. Here are the lines, their
// bounds, and what needs no process of its own; bench/api has what needs a server
// process and a fleet in its database, bench/sim what takes simulated machines by
// the thousand (`make bench-sim`), bench/dhcp, bench/dns and bench/boot what runs
// beside the peers of a protocol (`make bench-dhcp` and so on).
package bench
