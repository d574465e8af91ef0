package builtin_test

import (
	"context"
	"sync"
	"testing"

	"sprout"
	"sprout/dns"
	"sprout/dns/builtin"
	"sprout/dns/dnstest"
)

func TestContract(t *testing.T) {
	dnstest.Run(t, func(*testing.T) (dns.Provider, sprout.SiteID, sprout.SiteID) {
		return builtin.New(&ledger{records: map[key]sprout.Record{}}), "sit_one", "sit_two"
	})
}

// ledger keeps records in memory.
type ledger struct {
	mu      sync.Mutex
	records map[key]sprout.Record
}

type key struct {
	site sprout.SiteID
	name string
}

func (l *ledger) SetRecord(_ context.Context, r sprout.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records[key{r.Site, r.Name}] = r
	return nil
}

func (l *ledger) DeleteRecord(_ context.Context, site sprout.SiteID, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.records, key{site, name})
	return nil
}

func (l *ledger) Record(_ context.Context, site sprout.SiteID, name string) (sprout.Record, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.records[key{site, name}]
	return r, ok, nil
}
