// Package bench measures Sprout side by side with what it stands on, in one run
// on one machine: each benchmark prints one line, BENCH name sprout=… peer=…
// ratio=…. `make bench-api` runs them. It holds benchmarks only;
// bench/api has those that need a server process and a fleet in its database.
package bench
