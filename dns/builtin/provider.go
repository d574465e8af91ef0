// Package builtin is Sprout's own name service: a Provider for the control
// plane that keeps records in its store, and the name server of a site that
// answers from the records replicated there. It must not know machines.
package builtin

import (
	"context"

	"sprout"
	"sprout/dns"
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
	return p.ledger.DeleteRecord(ctx, site, dns.Canonical(name))
}

// Lookup returns what name was set to.
func (p *Provider) Lookup(ctx context.Context, site sprout.SiteID, name string) (sprout.Record, bool, error) {
	return p.ledger.Record(ctx, site, dns.Canonical(name))
}

// canonical checks a record and returns it as it is kept.
func canonical(r sprout.Record) (sprout.Record, error) {
	r.Name = dns.Canonical(r.Name)
	if err := dns.CheckHost("name", r.Name); err != nil {
		return r, err
	}
	if !r.IP.IsValid() {
		return r, sprout.InvalidField("ip", "cannot publish %s without an address", r.Name)
	}
	r.IP = r.IP.Unmap().WithZone("")
	var err error
	r.TTL, err = dns.CheckTTL(r.TTL)
	return r, err
}
