// Package hwtest says what a hardware test is. Each folder below is one set of
// tests; hwtesttest is the contract that each passes.
package hwtest

import (
	"context"

	"sprout"
)

// A Test examines devices of one kind.
type Test struct {
	Name        string // stable: "disk-read"
	Title       string // for people
	Kind        string // cpu, memory, disk, nic, node
	Destructive bool   // overwrites data
	// Run examines one device of the inventory and returns figures, or why it failed.
	Run func(ctx context.Context, d Device) ([]sprout.Metric, error)
}

// A Peer is the site's agent, as the other end of a link: its base URL, and the
// bearer token of this boot attempt. An empty URL: there is none.
type Peer struct{ URL, Token string }

// A Device is one thing to test. Agent is the site's agent, for
// tests of the link.
type Device struct {
	Name      string // "vda", "eno1", "cpu", "memory"
	Inventory sprout.Inventory
	Agent     Peer
}

// A Provider lists the tests for a machine; each runs once for each device of
// its kind and yields one result a device.
type Provider interface {
	Tests(inv sprout.Inventory) []Test
}
