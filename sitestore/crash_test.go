package sitestore_test

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sprout"
	"sprout/faults/lossy"
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
					return
				}
				lines <- ip.String()
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

// A killed child, and its host with it: what it had not synced is lost too, and
// every lease that it had acknowledged is there.
func TestLeasesSurviveKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "site.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	for round := range 4 {
		saved := killWhileGiving(t, path, 20+round)
		if lost, err := lossy.Drop(filepath.Dir(path), kept(path)); err != nil || lost < 1 {
			t.Fatalf("%d files lost what was not synced, %v", lost, err)
		}
		s := open(t, path)
		for _, ip := range saved {
			if l, ok := s.LeaseByIP(netip.MustParseAddr(ip)); !ok || l.State != "bound" {
				t.Errorf("round %d: lease of %s was promised and is lost", round, ip)
			}
		}
		leases, facts := len(s.Leases()), 0
		_, last, err := s.Outbox()
		if facts = int(last); err != nil || facts != leases {
			t.Errorf("round %d: %d leases and %d facts of them, %v", round, leases, facts, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killWhileGiving starts a child that gives leases, has it die at its n-th sync,
// and returns the addresses that it said were saved.
func killWhileGiving(t *testing.T, path string, n int) (saved []string) {
	t.Helper()
	if err := lossy.DieAt(kept(path), n); err != nil {
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
	if len(saved) < n/4 {
		t.Fatalf("the child saved %d leases before it ended", len(saved))
	}
	return saved
}
