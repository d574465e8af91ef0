package sitestore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"sprout"
	"sprout/boot"
	"sprout/dhcp/builtin"
	"sprout/dhcp/builtin6"
	"sprout/dhcp/dhcptest"
	dns "sprout/dns/builtin"
	"sprout/sitestore"
	"sprout/workflow/workflowtest"
)

var (
	_ builtin.Ledger  = (*sitestore.Store)(nil)
	_ builtin6.Ledger = (*sitestore.Store)(nil)
	_ boot.Ledger     = (*sitestore.Store)(nil)
	_ sitestore.Names = (*dns.Names)(nil)
)

func open(t *testing.T, path string) *sitestore.Store {
	t.Helper()
	s, err := sitestore.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fresh(t *testing.T) *sitestore.Store {
	t.Helper()
	s := open(t, filepath.Join(t.TempDir(), "site.db"))
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestLedgerOfDHCP(t *testing.T) {
	dhcptest.Run(t, func(t *testing.T, seed dhcptest.Seed) builtin.Ledger {
		s := fresh(t)
		seq := int64(0)
		add := func(kind sprout.ChangeKind, key string, v any) { seq++; apply(t, s, seq, kind, key, v) }
		add(sprout.ChangeSite, "sit_1", sprout.Site{ID: "sit_1"})
		for i := range seed.Options { // the last first: the order is the store's own
			v := seed.Options[len(seed.Options)-1-i]
			add(sprout.ChangeDHCPOption, string(v.ID), v)
			add(sprout.ChangeDHCPOption, string(v.ID), v)
		}
		for _, v := range seed.Subnets {
			add(sprout.ChangeSubnet, string(v.ID), v)
		}
		for _, v := range seed.Reservations {
			add(sprout.ChangeReservation, v.MAC, v)
		}
		for _, v := range seed.Machines {
			add(sprout.ChangeMachine, string(v.ID), v)
		}
		return s
	})
}

// TestDUID keeps one identifier, also over a restart.
func TestDUID(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.db")
	var first []byte
	for i := range 3 {
		s := open(t, path)
		duid, err := s.DUID(t.Context())
		if err != nil || len(duid) != 18 || duid[1] != 4 {
			t.Fatalf("%x, %v", duid, err)
		}
		if i == 0 {
			first = duid
		} else if !bytes.Equal(duid, first) {
			t.Errorf("%x was %x", duid, first)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKnownByUUID finds a machine by its UUID as long as no other has it too.
func TestKnownByUUID(t *testing.T) {
	s := fresh(t)
	const uuid, other = "00112233-4455-6677-8899-aabbccddeeff", "10112233-4455-6677-8899-aabbccddeeff"
	is := func(uuid string, want sprout.MachineID) {
		t.Helper()
		if m, ok := s.KnownByUUID(uuid); m.ID != want || ok != (want != "") {
			t.Errorf("%s is %q, want %q", uuid, m.ID, want)
		}
	}
	apply(t, s, 1, sprout.ChangeMachine, "mch_1", sprout.SiteMachine{ID: "mch_1", UUID: uuid})
	is(uuid, "mch_1")
	apply(t, s, 2, sprout.ChangeMachine, "mch_2", sprout.SiteMachine{ID: "mch_2", UUID: uuid})
	is(uuid, "")
	apply(t, s, 3, sprout.ChangeMachine, "mch_1", sprout.SiteMachine{ID: "mch_1", UUID: other})
	is(uuid, "mch_2")
	is(other, "mch_1")
	is("", "")
}

func TestStoreOfRuns(t *testing.T) {
	workflowtest.RunStore(t, func(t *testing.T) workflowtest.StoreCase[*bbolt.Tx] {
		s := fresh(t)
		return workflowtest.StoreCase[*bbolt.Tx]{
			Store: s,
			Write: func(_ context.Context, tx *bbolt.Tx, name string) error {
				b, err := tx.CreateBucketIfNotExists([]byte("mark"))
				if err != nil {
					return err
				}
				return b.Put([]byte(name), []byte("there"))
			},
			Wrote: func(t *testing.T, name string) (there bool) {
				t.Helper()
				err := s.View(func(tx *bbolt.Tx) error {
					b := tx.Bucket([]byte("mark"))
					there = b != nil && b.Get([]byte(name)) != nil
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				return there
			},
			Due: func(t *testing.T, id string) time.Time {
				t.Helper()
				return due(t, s, id)
			},
		}
	})
}

// due finds when the run is due by asking for shorter and shorter times.
func due(t *testing.T, s *sitestore.Store, id string) time.Time {
	t.Helper()
	run, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	has := func(at time.Time) bool {
		ids, _, err := s.Due(at, 1000)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, due := range ids {
			if due == id {
				n++
			}
		}
		if n > 1 {
			t.Fatalf("run %s is due %d times", id, n)
		}
		return n == 1
	}
	far := time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
	switch {
	case !has(far):
		return time.Time{}
	case run.NextAt.IsZero() || !has(run.NextAt) || has(run.NextAt.Add(-1)):
		t.Errorf("run %s is not due at its time %s", id, run.NextAt)
	}
	return run.NextAt
}

func apply(t *testing.T, s *sitestore.Store, seq int64, kind sprout.ChangeKind, key string, v any) {
	t.Helper()
	if err := s.Apply(t.Context(), changeOf(t, seq, kind, key, v)); err != nil {
		t.Fatal(err)
	}
}

// changeOf makes a change; nil means that the record is gone.
func changeOf(t *testing.T, seq int64, kind sprout.ChangeKind, key string, v any) sprout.Change {
	t.Helper()
	if v == nil {
		return sprout.Change{Seq: seq, Kind: kind, Key: key, Deleted: true}
	}
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return sprout.Change{Seq: seq, Kind: kind, Key: key, Body: raw}
}

func TestReplication(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.db")
	s := open(t, path)
	ip, other := netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("10.0.0.6")
	name := "web-01.lon1.example"
	record := func(ip netip.Addr) sprout.Record { return sprout.Record{Name: name, IP: ip, TTL: 60} }
	apply(t, s, 1, sprout.ChangeSite, "sit_1", sprout.Site{ID: "sit_1", Name: "lon1", Domain: "lon1.example"})
	apply(t, s, 2, sprout.ChangeMachine, "mch_1", sprout.SiteMachine{ID: "mch_1", Name: "web-01", MACs: []string{"52:54:00:00:00:01"}})
	apply(t, s, 3, sprout.ChangeRecord, name+" "+ip.String(), record(ip))

	// A duplicate changes nothing, a gap is refused and leaves no trace.
	apply(t, s, 3, sprout.ChangeRecord, name+" "+other.String(), record(other))
	err := s.Apply(t.Context(), changeOf(t, 5, sprout.ChangeRecord, name+" "+ip.String(), nil))
	if !errors.Is(err, sitestore.ErrGap) {
		t.Errorf("got %v, want a gap", err)
	}
	var before uint32
	check := func(s *sitestore.Store) {
		t.Helper()
		taken := &names{}
		s.Publish(taken)
		if got := taken.of(name); len(got) != 1 || got[0].IP != ip {
			t.Errorf("the names of the site: %v", taken.records)
		}
		if taken.domain != "lon1.example" || taken.serial == 0 {
			t.Errorf("the domain is %q, the serial %d", taken.domain, taken.serial)
		}
		before = taken.serial
		if _, ok := s.MachineByMAC("52:54:00:00:00:01"); !ok || s.Domain() != "lon1.example" {
			t.Error("the machine or the domain is gone")
		}
		if seq, err := s.Applied(); err != nil || seq != 3 {
			t.Errorf("Applied: %d, %v", seq, err)
		}
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	defer s.Close() //nolint:errcheck // the test is over
	check(s)

	taken := &names{}
	s.Publish(taken)
	apply(t, s, 4, sprout.ChangeRecord, name+" "+ip.String(), nil)
	if got := taken.of(name); len(got) != 0 {
		t.Errorf("names after one is withdrawn: %v", got)
	}
	if taken.serial <= before {
		t.Errorf("the serial was %d and is %d", before, taken.serial)
	}
	apply(t, s, 5, sprout.ChangeMachine, "mch_1", sprout.SiteMachine{ID: "mch_1", MACs: []string{"52:54:00:00:00:02"}})
	if _, ok := s.MachineByMAC("52:54:00:00:00:01"); ok {
		t.Error("a MAC that the machine no longer has finds it")
	}
	if serial := taken.serial; serial <= before {
		t.Errorf("the serial was %d and is %d", before, serial)
	}
}

// names takes a site's names.
type names struct {
	domain  string
	records []sprout.Record
	serial  uint32
}

func (n *names) Load(site sprout.Site, _ iter.Seq[sprout.Subnet], records iter.Seq[sprout.Record], serial uint32) {
	n.domain, n.records, n.serial = site.Domain, slices.Collect(records), serial
}

func (n *names) Change(remove, add []sprout.Record, serial uint32) {
	n.records = slices.DeleteFunc(n.records, func(r sprout.Record) bool { return slices.Contains(remove, r) })
	n.records, n.serial = append(n.records, add...), serial
}

func (n *names) Rules(sprout.DNSPolicy, iter.Seq[sprout.SiteDNSKey]) {}

func (n *names) of(name string) (list []sprout.Record) {
	for _, r := range n.records {
		if r.Name == name {
			list = append(list, r)
		}
	}
	return list
}

func TestOutbox(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.db")
	s := open(t, path)
	refused := errors.New("refused")
	for i := range 5 {
		err := s.Update(t.Context(), func(tx *bbolt.Tx) error {
			f, err := sitestore.NewFact(sprout.FactPower, "on")
			if err == nil {
				err = s.AppendFact(tx, f)
			}
			if i == 2 && err == nil {
				return refused // it takes its fact with it
			}
			return err
		})
		if i == 2 != errors.Is(err, refused) {
			t.Fatal(err)
		}
	}
	seqs := func() (list []int64) {
		t.Helper()
		facts, err := s.Facts(100)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range facts {
			list = append(list, f.Seq)
		}
		return list
	}
	if got := seqs(); len(got) != 4 || got[0] != 1 || got[3] != 4 {
		t.Errorf("facts: %v", got)
	}
	if err := s.DropFacts(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if waiting, last, err := s.Outbox(); waiting != 1 || last != 4 || err != nil {
		t.Errorf("Outbox: %d, %d, %v", waiting, last, err)
	}
	if err := s.DropFacts(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	defer s.Close() //nolint:errcheck // the test is over
	if err := s.Update(t.Context(), func(tx *bbolt.Tx) error { return s.AppendFact(tx, sprout.Fact{Kind: sprout.FactPower}) }); err != nil {
		t.Fatal(err)
	}
	if got := seqs(); len(got) != 1 || got[0] != 5 {
		t.Errorf("facts after a restart: %v", got)
	}
}

func TestTokens(t *testing.T) {
	s := fresh(t)
	intent := func(n string, expires time.Duration) sprout.Intent {
		return sprout.Intent{
			Machine: "mch_1", Attempt: sprout.AttemptID("att_" + n), Purpose: "deploy", Token: "ramdisk-" + n, HomeToken: "home-" + n,
			ExpiresAt: time.Now().Add(expires),
		}
	}
	update := func(change func(tx *bbolt.Tx) error) {
		t.Helper()
		if err := s.Update(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
	admits := func(token string, use sitestore.Use, want bool) {
		t.Helper()
		_, err := s.Admit(token, use)
		if want && err != nil {
			t.Errorf("%s is not admitted: %v", token, err)
		}
		if !want && sprout.KindOf(err) != sprout.Denied {
			t.Errorf("%s: got %v, want denied", token, err)
		}
	}
	update(func(tx *bbolt.Tx) error { return s.SetIntent(tx, intent("1", time.Hour)) })
	admits("ramdisk-1", sitestore.RamdiskUse, true)
	admits("home-1", sitestore.HomeUse, true)
	admits("ramdisk-1", sitestore.HomeUse, false)
	admits("home-1", sitestore.RamdiskUse, false)
	admits("", sitestore.RamdiskUse, false)
	admits("guess", sitestore.RamdiskUse, false)

	update(func(tx *bbolt.Tx) error { return s.SetIntent(tx, intent("2", time.Hour)) })
	admits("ramdisk-1", sitestore.RamdiskUse, false) // an older attempt
	admits("home-1", sitestore.HomeUse, false)
	update(func(tx *bbolt.Tx) error { return s.BootDisk(tx, "mch_1") })
	if in, ok := s.Intent("mch_1"); ok {
		t.Errorf("it is to boot its disk, and boots %v", in)
	}
	admits("ramdisk-2", sitestore.RamdiskUse, true) // it is still to be told to reboot
	update(func(tx *bbolt.Tx) error { return s.ClearIntent(tx, "mch_1") })
	admits("ramdisk-2", sitestore.RamdiskUse, false)
	admits("home-2", sitestore.HomeUse, true)
	update(func(tx *bbolt.Tx) error { return s.EndAttempt(tx, "mch_1") })
	admits("home-2", sitestore.HomeUse, false)

	update(func(tx *bbolt.Tx) error { return s.SetIntent(tx, intent("3", -time.Second)) })
	admits("ramdisk-3", sitestore.RamdiskUse, false) // expired
	if n, err := s.DropAttempts(t.Context(), time.Now()); n != 1 || err != nil {
		t.Errorf("dropped %d, %v", n, err)
	}
	if in, ok := s.Intent("mch_1"); ok {
		t.Errorf("an expired intent is still there: %v", in)
	}
}

func TestDiscoveryEndsWhenTheMachineIsKnown(t *testing.T) {
	s := fresh(t)
	const mac = "52:54:00:00:00:01"
	intents := make([]sprout.Intent, 8)
	var asking sync.WaitGroup
	for i := range intents { // firmware asks more than once
		asking.Go(func() {
			var err error
			if intents[i], err = s.StartDiscovery(context.Background(), mac, netip.MustParseAddr("10.0.0.9")); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	for _, in := range intents {
		if in.Token == "" || in.Token != intents[0].Token {
			t.Fatalf("two intents for one boot: %v and %v", in, intents[0])
		}
	}
	a, err := s.Admit(intents[0].Token, sitestore.RamdiskUse)
	if err != nil || a.MAC != mac || a.Machine != "" {
		t.Fatalf("Admit: %+v, %v", a, err)
	}
	apply(t, s, 1, sprout.ChangeMachine, "mch_1", sprout.SiteMachine{ID: "mch_1", MACs: []string{mac}})
	if err := s.Update(t.Context(), func(tx *bbolt.Tx) error {
		return s.SetIntent(tx, sprout.Intent{Machine: "mch_1", Attempt: "att_1", Token: "t", ExpiresAt: time.Now().Add(time.Hour)})
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Admit(intents[0].Token, sitestore.RamdiskUse); sprout.KindOf(err) != sprout.Denied {
		t.Errorf("got %v, want denied", err)
	}
}
