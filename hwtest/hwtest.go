// Package hwtest says what a hardware test is, reads what one declares
// (header.go), and runs tests on the devices of a machine. Each folder below is
// one set of tests or one way to run them; hwtesttest is the contract that each
// set passes.
package hwtest

import (
	"context"
	"io"
	"time"

	"sprout"
)

// A Test is a test that can be run: what it declares, and how.
type Test struct {
	sprout.Test
	// Run examines one device of the inventory and returns figures, or why it
	// failed. It ends soon after its context.
	Run func(ctx context.Context, d Device) ([]sprout.Metric, error)
	// Told are the values of its parameters, as the executable gets them.
	Told map[string]string
	// Within is how long it may take on one device; 0: what it declares.
	Within time.Duration
}

// An Executable is a test as it is kept and fetched.
type Executable struct {
	sprout.Test
	Content []byte
}

// A Peer is the site's agent, as the other end of a link: its base URL, and the
// bearer token of this boot attempt. An empty URL: there is none.
type Peer struct{ URL, Token string }

// A Device is one thing to test. Agent is the site's agent, for tests of the
// link. What a test says besides its figures goes to Output.
type Device struct {
	Name      string // "vda", "eno1", "cpu", "memory"
	Inventory sprout.Inventory
	Agent     Peer
	Output    io.Writer
	// Mark is how far the test was on the device before the machine restarted, in its
	// own words; empty: it begins. SetMark, which may be nil, keeps how far it is now.
	Mark    string
	SetMark func(string)
}

// A Provider lists the tests for a machine; each runs once for each device of
// its kind and yields one result a device.
type Provider interface {
	Tests(inv sprout.Inventory) []Test
}
