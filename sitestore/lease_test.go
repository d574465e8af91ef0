package sitestore_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
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

// Whoever saves the last lease of an address while others save theirs has it: in
// memory, on disk and at the centre alike.
func TestTogetherTheyAgreeWhoWasLast(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.db")
	s := open(t, path)
	var saving sync.WaitGroup
	for client := range 8 {
		saving.Go(func() {
			for n := range 300 {
				l := sprout.Lease{
					Subnet: "sub_1", IP: netip.AddrFrom4([4]byte{10, 0, 0, byte(n % 3)}), MAC: fmt.Sprintf("52:54:00:00:00:%02x", client),
					State: "bound", ExpiresAt: time.Now().Add(time.Duration(n) * time.Hour).UTC(),
				}
				if err := s.SaveLeases(t.Context(), l); err != nil {
					t.Error(err)
				}
			}
		})
	}
	saving.Wait()

	inMemory := s.Leases()
	if err := s.Settle(); err != nil {
		t.Fatal(err)
	}
	told := map[netip.Addr]string{}
	facts, err := s.Facts(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range facts {
		var l sprout.Lease
		if err := json.Unmarshal(f.Body, &l); err != nil {
			t.Fatal(err)
		}
		told[l.IP] = l.MAC
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	onDisk := open(t, path).Leases()
	if len(inMemory) != 3 || len(onDisk) != 3 {
		t.Fatalf("%d and %d leases of 3 addresses", len(inMemory), len(onDisk))
	}
	for i, l := range inMemory {
		if onDisk[i] != l || told[l.IP] != l.MAC {
			t.Errorf("%s is %s's in memory, %s's on disk, and the centre was told of %s", l.IP, l.MAC, onDisk[i].MAC, told[l.IP])
		}
	}
}
