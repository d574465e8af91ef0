// Package faults breaks everything at every step, and holds Sprout to what it
// promises: each workflow finishes, or fails with a cause that has a name and
// succeeds once retried; no machine is stuck; no two have one address; no disk
// that is half written is called deployed; no lease and no fact is lost or comes
// twice; the audit has no gap.
//
// The tests run real processes (server, replicas, agent, NATS, PostgreSQL) with
// simulated machines. Machines are held at every step that package provision
// defines, each in the middle of it, and then something is killed, stopped or
// cut. `make test-faults` runs the whole matrix and prints a line a cell:
//
//	FAULT <who> <workflow>/<step> <how> <outcome>
//
// It must not know how Sprout works inside: it starts processes, asks the API,
// and looks at the machines' disks and journals.
package faults
