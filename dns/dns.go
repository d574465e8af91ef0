// Package dns says what Sprout needs of a name server. Each folder below is one
// way to have it; dnstest is the contract that each passes.
package dns

import (
	"context"

	"sprout"
)

// A Provider publishes names, forward and reverse. Every method may be
// repeated: a workflow runs on after a crash.
type Provider interface {
	// Set publishes r.Name → r.IP and the reverse, in place of what r.Name had.
	Set(ctx context.Context, r sprout.Record) error
	// Delete withdraws name and its reverse; a missing name is no error.
	Delete(ctx context.Context, site sprout.SiteID, name string) error
	// Lookup returns what name was set to.
	Lookup(ctx context.Context, site sprout.SiteID, name string) (sprout.Record, bool, error)
}
