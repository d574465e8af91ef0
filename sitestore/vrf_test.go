package sitestore_test

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"sprout"
	"sprout/sitestore"
)

func openAt(t *testing.T, path string) *sitestore.Store {
	t.Helper()
	s, err := sitestore.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Two VRFs may lease the same address: each subnet keeps its own lease.
func TestLeasesOfOverlappingSubnets(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "site.db"))
	defer s.Close() //nolint:errcheck // the test is over
	ip, now := netip.MustParseAddr("10.0.0.9"), time.Now()
	for i, sub := range []sprout.SubnetID{"sub_a", "sub_b"} {
		l := sprout.Lease{Subnet: sub, IP: ip, MAC: "52:54:00:00:00:0" + string(rune('1'+i)), State: "bound", ExpiresAt: now.Add(time.Duration(i+1) * time.Hour)}
		if err := s.SaveLease(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	for sub, mac := range map[sprout.SubnetID]string{"sub_a": "52:54:00:00:00:01", "sub_b": "52:54:00:00:00:02"} {
		if l, ok := s.LeaseAt(sub, ip); !ok || l.MAC != mac {
			t.Errorf("at %s: %+v", sub, l)
		}
		if l, ok := s.LeaseByClient(sub, mac); !ok || l.Subnet != sub {
			t.Errorf("of %s: %+v", mac, l)
		}
	}
	if l, ok := s.LeaseByIP(ip); !ok || l.Subnet != "sub_b" {
		t.Errorf("the one that lasts longest is %+v", l)
	}
	if len(s.Leases()) != 2 {
		t.Errorf("leases %v", s.Leases())
	}
}

// A store of a version that knew no VRFs keeps its leases.
func TestLeasesOfBeforeVRFs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.db")
	s := openAt(t, path)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	l := sprout.Lease{Subnet: "sub_a", IP: netip.MustParseAddr("10.0.0.9"), MAC: "52:54:00:00:00:01", State: "bound", ExpiresAt: time.Now().Add(time.Hour).UTC()}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := json.Marshal(l)
	err = db.Update(func(tx *bbolt.Tx) error {
		if err := tx.Bucket([]byte("lease")).Put([]byte("10.0.0.9"), raw); err != nil {
			return err
		}
		clients, err := tx.CreateBucket([]byte("lease-client"))
		if err != nil {
			return err
		}
		return clients.Put([]byte("sub_a\x0052:54:00:00:00:01"), []byte("10.0.0.9"))
	})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path)
	defer s.Close() //nolint:errcheck // the test is over
	if got, ok := s.LeaseAt("sub_a", l.IP); !ok || got != l {
		t.Errorf("LeaseAt: %+v", got)
	}
	if got, ok := s.LeaseByClient("sub_a", l.MAC); !ok || got != l {
		t.Errorf("LeaseByClient: %+v", got)
	}
	if len(s.Leases()) != 1 {
		t.Errorf("leases %v", s.Leases())
	}
}
