package sitestore_test

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"sprout"
	"sprout/faults/full"
	"sprout/faults/lossy"
	"sprout/sitestore"
)

// crashEnv tells a child of the test which file it is to write leases to.
const crashEnv = "SPROUT_TEST_LEASES"

// TestMain makes a child of TestLeasesSurviveKill what it is.
func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		if err := lossy.Record(filepath.Dir(path), kept(path)); err != nil {
			panic(err)
		}
		fmt.Println(giveLeases(path))
		os.Exit(1) // it is to be killed before
	}
	os.Exit(m.Run())
}

// giveLeases saves leases from many goroutines and prints each once it is saved.
func giveLeases(path string) error {
	s := open(&testing.T{}, path)
	var giving sync.WaitGroup
	lines := make(chan string)
	for worker := range 16 {
		giving.Go(func() {
			for n := range 65536 {
				ip := netip.AddrFrom4([4]byte{10, byte(worker), byte(n >> 8), byte(n)})
				mac := fmt.Sprintf("52:54:00:%02x:%02x:%02x", worker, n>>8, n&255)
				if err := s.SaveLeases(context.Background(), sprout.Lease{Subnet: "sub_1", IP: ip, MAC: mac, State: "bound", ExpiresAt: time.Now().Add(time.Hour)}); err != nil {
					continue // it was not promised
				}
				lines <- ip.String()
				if n%50 == 0 && worker == 0 {
					_ = s.Settle() // else the store's file is left alone for seconds; that it cannot is no news here
				}
			}
		})
	}
	go func() { giving.Wait(); close(lines) }()
	for line := range lines {
		if _, err := os.Stdout.WriteString(line + "\n"); err != nil {
			return err
		}
	}
	return nil
}

// kept is where a child keeps what its store has synced.
func kept(path string) string { return filepath.Dir(path) + ".synced" }

// journals are the files that leases are written to first.
const journals = "site.db.leases-*"

// A killed child, and its host with it, in the midst of a sync of the journal or
// of the store's file, also after a sync that failed: what was not synced is lost,
// and every lease that was acknowledged is there. Those who save at once share a sync.
func TestLeasesSurviveKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "site.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	acknowledged := map[string]bool{}
	for round, c := range []struct {
		diesAt int
		file   string // whose sync it dies in
		fails  string // whose sync failed before
		at     int    // which: beyond those of opening
	}{{20, journals, "", 0}, {14, "site.db", "", 0}, {21, journals, journals, 7}, {15, "site.db", journals, 3}, {60, journals, "site.db", 12}} {
		if c.fails != "" {
			if err := lossy.FailAt(kept(path), c.at, c.fails); err != nil {
				t.Fatal(err)
			}
		}
		saved := killWhileGiving(t, path, c.diesAt, c.file)
		if c.file == journals && len(saved) < 2*c.diesAt { // sixteen save at once
			t.Errorf("round %d: %d leases took %d syncs: they share none", round, len(saved), c.diesAt)
		}
		for _, ip := range saved {
			acknowledged[ip] = true
		}
		lost, err := lossy.Drop(filepath.Dir(path), kept(path))
		if err != nil || !slices.ContainsFunc(lost, func(name string) bool { ok, _ := filepath.Match(c.file, name); return ok }) {
			t.Fatalf("round %d: %v lost what was not synced, %v; want %s", round, lost, err, c.file)
		}
		s := open(t, path)
		for ip := range acknowledged {
			if l, ok := s.LeaseByIP(netip.MustParseAddr(ip)); !ok || l.State != "bound" {
				t.Errorf("round %d: lease of %s was promised and is lost", round, ip)
			}
		}
		leases, facts := len(s.Leases()), 0
		_, last, err := s.Outbox()
		if facts = int(last); err != nil || facts < leases {
			t.Errorf("round %d: %d leases and %d facts of them, %v", round, leases, facts, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killWhileGiving starts a child that gives leases, has it die at its n-th sync
// of the file, and returns the addresses that it said were saved.
func killWhileGiving(t *testing.T, path string, n int, file string) (saved []string) {
	t.Helper()
	if err := lossy.DieAt(kept(path), n, file); err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), crashEnv+"="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	limit := time.AfterFunc(30*time.Second, func() { _ = child.Process.Kill() })
	defer limit.Stop()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		saved = append(saved, lines.Text())
	}
	if err := child.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
	if len(saved) < 5 {
		t.Fatalf("the child saved %d leases before it ended", len(saved))
	}
	return saved
}

// TestFullDiskInTheMidstOfATurn: the disk fills up while leases go from the
// journal to the store's file. Those that were acknowledged survive kill -9 then,
// with the disk as full as it is, and go there once there is room.
func TestFullDiskInTheMidstOfATurn(t *testing.T) {
	dir := full.Disk(t, 64<<20)
	path := filepath.Join(dir, "site.db")
	s := open(t, path)
	t.Cleanup(func() { _ = s.Close() })
	var acknowledged []netip.Addr
	give := func(n int) error {
		ip := netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)})
		l := sprout.Lease{Subnet: "sub_1", IP: ip, MAC: fmt.Sprintf("52:54:00:00:%02x:%02x", n>>8, n&255), State: "bound", ExpiresAt: time.Now().Add(time.Hour)}
		err := s.SaveLease(t.Context(), l)
		if err == nil {
			acknowledged = append(acknowledged, ip)
		}
		return err
	}
	all := func(s *sitestore.Store, when string) {
		t.Helper()
		for _, ip := range acknowledged {
			if l, ok := s.LeaseByIP(ip); !ok || l.State != "bound" {
				t.Fatalf("%s: lease of %s was promised and is lost", when, ip)
			}
		}
	}
	if err := give(0); err != nil {
		t.Fatal(err)
	}
	if err := s.Settle(); err != nil {
		t.Fatal(err)
	}
	free := full.Fill(t, dir)
	n := 1
	for ; n < 2000; n++ {
		if err := give(n); err != nil {
			t.Fatal(err) // there is room in the journal
		}
	}
	if err := s.Settle(); err == nil {
		t.Fatal("leases went to the store's file on a full disk")
	}
	for ; n < 1<<16; n++ { // the other file of the journal, until that is full
		err := give(n)
		if sprout.KindOf(err) == sprout.Unavailable {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if n == 1<<16 {
		t.Fatal("a full disk takes any number of leases")
	}
	killed := t.TempDir() // the files as kill -9 leaves them
	for _, name := range []string{"site.db", "site.db.leases-0", "site.db.leases-1"} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(killed, name), raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	after := open(t, filepath.Join(killed, "site.db"))
	all(after, "after kill -9")
	if err := after.Close(); err != nil {
		t.Fatal(err)
	}
	free()
	for deadline := time.Now().Add(30 * time.Second); s.Settle() != nil; {
		if time.Now().After(deadline) {
			t.Fatal("leases do not go to the store's file though there is room")
		}
	}
	if err := give(n); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	all(s, "once there was room")
}
