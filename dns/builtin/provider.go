// Package builtin is Sprout's own name service: a Provider for the control
// plane that keeps records in its store, and the name server of a site that
// answers from the records replicated there. It must not know machines.
package builtin

import (
	"context"

	"sprout"
)

// A Ledger keeps records. The control plane's store is one, and replicates
// each change to the record's site.
type Ledger interface {
	// SetRecord makes r the record of r.Site and r.Name, in place of another.
	SetRecord(ctx context.Context, r sprout.Record) error
	// DeleteRecord withdraws a name; a missing one is no error.
	DeleteRecord(ctx context.Context, site sprout.SiteID, name string) error
	// Record returns what name was set to.
	Record(ctx context.Context, site sprout.SiteID, name string) (sprout.Record, bool, error)
}

// DefaultTTL is how many seconds a resolver may keep a record that names no TTL.
const DefaultTTL = 60

// A Provider publishes names through a Ledger.
type Provider struct{ ledger Ledger }

// New makes a Provider over the ledger.
func New(l Ledger) *Provider { return &Provider{l} }

// Set publishes r.Name → r.IP and the reverse. Errors: Invalid, naming the field.
func (p *Provider) Set(ctx context.Context, r sprout.Record) error {
	r, err := canonical(r)
	if err != nil {
		return err
	}
	return p.ledger.SetRecord(ctx, r)
}

// Delete withdraws name; a missing one is no error.
func (p *Provider) Delete(ctx context.Context, site sprout.SiteID, name string) error {
	return p.ledger.DeleteRecord(ctx, site, canonicalName(name))
}

// Lookup returns what name was set to.
func (p *Provider) Lookup(ctx context.Context, site sprout.SiteID, name string) (sprout.Record, bool, error) {
	return p.ledger.Record(ctx, site, canonicalName(name))
}
