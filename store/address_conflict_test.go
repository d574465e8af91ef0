package store_test

import (
	"context"
	"net/netip"
	"testing"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
)

// conflicts are the open problems of addresses.
func conflicts(t *testing.T, s *store.Store) []sprout.Problem {
	t.Helper()
	list, _, err := s.Problems(t.Context(), store.ProblemFilter{Codes: []sprout.Code{sprout.AddressTaken}})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// due has what is in conflict looked at again now.
func due(t *testing.T, s *store.Store) []sprout.Address {
	t.Helper()
	if _, err := s.Pool().Exec(t.Context(), `UPDATE address SET probe_at = now() WHERE probe_at IS NOT NULL`); err != nil {
		t.Fatal(err)
	}
	list, err := s.ConflictsToProbe(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// An address that somebody else uses is a problem with the MAC, and given to
// nobody, for as long as a probe finds somebody; it is looked at by one replica.
func TestQuarantineLastsAsLongAsSomebodyAnswers(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	sub := subnet(t, s, site.ID, "10.0.0.0/24")
	want := sprout.Address{Subnet: sub, Machine: m.ID, MAC: "52:54:00:00:00:01"}
	had, err := s.AllocateAddress(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	err = s.QuarantineAddress(t.Context(), sprout.AddressConflict{Subnet: sub, IP: had.IP, MAC: "52-54-00-00-09-09", Machine: m.ID, By: "a probe before a deploy"})
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := s.Addresses(t.Context(), store.AddressFilter{Kind: "quarantined"})
	if err != nil || len(list) != 1 || list[0].IP != had.IP || list[0].TakenBy != "52:54:00:00:09:09" || list[0].ProbeAt == nil || list[0].Machine != "" {
		t.Fatalf("quarantined %+v, %v", list, err)
	}
	open := conflicts(t, s)
	if len(open) != 1 || open[0].Site != site.ID || open[0].Name != had.IP.String() ||
		open[0].Reason != "10.0.0.2 of site lon1 is used by 52:54:00:00:09:09, who was not given it" || open[0].Since.IsZero() {
		t.Fatalf("problems %+v", open)
	}
	if next, err := s.AllocateAddress(t.Context(), want); err != nil || next.IP == had.IP {
		t.Errorf("then it got %s, %v", next.IP, err)
	}
	if list, err := s.ConflictsToProbe(t.Context(), 10); err != nil || len(list) != 0 {
		t.Errorf("looked at again at once: %v, %v", list, err)
	}
	if list := due(t, s); len(list) != 1 {
		t.Fatalf("due are %v", list)
	}
	if again, err := s.ConflictsToProbe(t.Context(), 10); err != nil || len(again) != 0 {
		t.Errorf("another replica looks too: %v, %v", again, err)
	}
	probe := func(state, mac string) {
		t.Helper()
		inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
			return s.TakeProbe(ctx, tx, list[0].ID, sprout.AddressProbe{IP: had.IP, State: state, MAC: mac})
		})
	}
	probe(sprout.ProbeTaken, "52:54:00:00:09:10")
	if now := conflicts(t, s); len(now) != 1 || now[0].ID != open[0].ID || now[0].Reason == open[0].Reason {
		t.Errorf("somebody else has it now, but problems are %+v", now)
	}
	probe(sprout.ProbeUnasked, "")
	if now := conflicts(t, s); len(now) != 1 {
		t.Errorf("nobody could look, but problems are %+v", now)
	}
	probe(sprout.ProbeFree, "")
	if now := conflicts(t, s); len(now) != 0 {
		t.Errorf("nobody answers, but problems are %+v", now)
	}
	if err := s.ReleaseAddresses(t.Context(), m.ID); err != nil {
		t.Fatal(err)
	}
	if next, err := s.AllocateAddress(t.Context(), want); err != nil || next.IP != had.IP {
		t.Errorf("free again it got %s, %v", next.IP, err)
	}
}

// What a DHCP client declines is looked at once; where nobody can look, it is
// kept away from for an hour. A machine keeps what it has.
func TestDeclinedAddresses(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	sub := subnet(t, s, site.ID, "10.0.0.0/24", rangeOf(sprout.Dynamic, "10.0.0.100", "10.0.0.110"))
	had, err := s.AllocateAddress(t.Context(), sprout.Address{Subnet: sub, Machine: m.ID, MAC: "52:54:00:00:00:01"})
	if err != nil {
		t.Fatal(err)
	}
	leases := []sprout.Lease{
		{Subnet: sub, IP: netip.MustParseAddr("10.0.0.100"), MAC: "52:54:00:00:00:07", State: "declined"},
		{Subnet: sub, IP: had.IP, MAC: "52:54:00:00:00:01", State: "declined"},
		{Subnet: "sub_gone", IP: had.IP, MAC: "52:54:00:00:00:01", State: "declined"},
	}
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error { return s.Declined(ctx, tx, leases) })
	list, err := s.ConflictsToProbe(t.Context(), 10)
	if err != nil || len(list) != 2 || len(conflicts(t, s)) != 2 {
		t.Fatalf("to be looked at are %v, %v; problems %v", list, err, conflicts(t, s))
	}
	unasked := func() {
		inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
			for _, a := range list {
				if err := s.TakeProbe(ctx, tx, a.ID, sprout.AddressProbe{State: sprout.ProbeUnasked}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	unasked()
	if got := conflicts(t, s); len(got) != 2 {
		t.Errorf("at once problems are %v", got)
	}
	if _, err := s.Pool().Exec(t.Context(), `UPDATE problem SET since = now() - interval '61 minutes'`); err != nil {
		t.Fatal(err)
	}
	unasked()
	kept, err := s.AddressesOf(t.Context(), m.ID)
	if err != nil || len(kept) != 1 || kept[0].IP != had.IP || kept[0].ProbeAt != nil || len(conflicts(t, s)) != 0 {
		t.Errorf("an hour later it has %+v, %v; problems %v", kept, err, conflicts(t, s))
	}
	if left, _, err := s.Addresses(t.Context(), store.AddressFilter{Kind: "quarantined"}); err != nil || len(left) != 0 {
		t.Errorf("an hour later quarantined are %v, %v", left, err)
	}
}
