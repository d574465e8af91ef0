package sitestore_test

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"sprout"
)

// The centre lists the leases that are in force. It hears of a renewal in time to
// know that, and not of each: machines ask thrice in a boot.
func TestCentreHearsOfRenewalsInTime(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "site.db"))
	t.Cleanup(func() { _ = s.Close() })
	const lasts = time.Hour // from each renewal
	began := time.Now()
	told := 0
	for _, row := range []struct {
		left  time.Duration // of what the centre knows, as the renewal comes
		heard bool
	}{{lasts, true}, {lasts - time.Minute, false}, {lasts - 20*time.Minute, false}, {lasts/2 - time.Minute, true}, {lasts - time.Minute, false}} {
		now := began.Add(lasts - row.left) // the clock stands: what has been told moves
		_, before, err := s.Outbox()
		if err != nil {
			t.Fatal(err)
		}
		l := sprout.Lease{Subnet: "sub_1", IP: netip.MustParseAddr("10.0.0.9"), MAC: "52:54:00:00:00:09", State: "bound", ExpiresAt: now.Add(lasts)}
		s.WithClock(func() time.Time { return now })
		if err := s.SaveLeases(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		if err := s.Settle(); err != nil {
			t.Fatal(err)
		}
		if kept, ok := s.LeaseByIP(l.IP); !ok || !kept.ExpiresAt.Equal(l.ExpiresAt) {
			t.Errorf("kept %+v, want %+v", kept, l)
		}
		_, after, err := s.Outbox()
		if err != nil || (after > before) != row.heard {
			t.Errorf("with %s left of what the centre knows it heard of %d leases more, want %t", row.left, after-before, row.heard)
		}
		if row.heard {
			told++
			began = now
		}
	}
	if told != 2 {
		t.Errorf("the centre heard %d times", told)
	}
}
