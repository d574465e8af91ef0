package builtin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"go.etcd.io/bbolt"

	"sprout"
	"sprout/dhcp/builtin"
	"sprout/faults/lossy"
	"sprout/sitestore"
)

// serveEnv tells a child of the test to be a server: of the site's store there,
// on that port of the loopback, or as 10.0.0.1 on that device.
const (
	serveEnv  = "SPROUT_TEST_SERVE"
	portEnv   = "SPROUT_TEST_PORT"
	deviceEnv = "SPROUT_TEST_DEVICE"
)

// TestMain makes a child of TestAcknowledgedSurvivesKill what it is.
func TestMain(m *testing.M) {
	if path := os.Getenv(serveEnv); path != "" && os.Getenv(deviceEnv) != "" {
		fmt.Fprintln(os.Stderr, serveDevice(path, os.Getenv(deviceEnv)))
		os.Exit(1)
	} else if path != "" {
		fmt.Fprintln(os.Stderr, serveUntilKilled(path, os.Getenv(portEnv)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func syncedOf(path string) string { return filepath.Dir(path) + ".synced" }

// serveUntilKilled serves as an agent does, on a disk that remembers what was synced.
func serveUntilKilled(path, port string) error {
	if err := lossy.Record(filepath.Dir(path), syncedOf(path)); err != nil {
		return err
	}
	store, err := sitestore.Open(path, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	at, err := netip.ParseAddrPort("127.0.0.1:" + port)
	if err != nil {
		return err
	}
	s, err := builtin.New(builtin.Config{Address: at.Addr(), Port: at.Port(), Ledger: store})
	if err != nil {
		return err
	}
	return s.Serve(context.Background())
}

// journal are the files that leases are written to first.
const journal = "site.db.leases-*"

// TestAcknowledgedSurvivesKill: under the load of many clients the server and its
// host die, the first time in the midst of a sync of the journal, then of the
// store's file. What was not synced is lost; each client that was sent an ACK has
// its lease afterwards.
func TestAcknowledgedSurvivesKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "site.db")
	makeSite(t, path, "127.8.0.0/16", "127.8.16.0", "127.8.255.250")
	acked := map[string]netip.Addr{}
	for round, c := range []struct {
		file string
		at   int // which sync of it, beyond those of opening
	}{{journal, 40}, {"site.db", 18}, {journal, 70}} {
		port := freePort(t)
		server := serveChild(t, path, port)
		began := len(acked)
		load(t, port, round, acked, func(n int) {
			if n == 50 {
				if err := lossy.DieAt(syncedOf(path), c.at, c.file); err != nil {
					t.Error(err)
				}
			}
		})
		if err := server.Wait(); err == nil {
			t.Fatal("the server ended by itself")
		}
		lost, err := lossy.Drop(filepath.Dir(path), syncedOf(path))
		if err != nil || !slices.ContainsFunc(lost, func(name string) bool { ok, _ := filepath.Match(c.file, name); return ok }) {
			t.Fatalf("round %d: %v lost what was not synced, %v; want %s", round, lost, err, c.file)
		}
		if len(acked)-began < 50 {
			t.Errorf("round %d: %d clients have an ACK", round, len(acked)-began)
		}
		store, err := sitestore.Open(path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		for mac, ip := range acked {
			if l, ok := store.LeaseByClient("sub_a", mac); !ok || l.IP != ip || l.State != "bound" {
				t.Errorf("round %d: the lease of %s by %s was acknowledged and is %+v", round, ip, mac, l)
			}
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d clients have an ACK", len(acked))
}

// makeSite makes a store that knows a subnet with a dynamic range.
func makeSite(t *testing.T, path, cidr, first, last string) {
	t.Helper()
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	store, err := sitestore.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(sprout.Subnet{
		ID: "sub_a", Site: "sit_1", CIDR: netip.MustParsePrefix(cidr),
		Ranges: []sprout.Range{{Kind: sprout.Dynamic, First: ip(first), Last: ip(last)}},
	})
	if err == nil {
		err = store.Update(t.Context(), func(tx *bbolt.Tx) error { return tx.Bucket([]byte("subnet")).Put([]byte("sub_a"), raw) })
	}
	if err := errors.Join(err, store.Close()); err != nil {
		t.Fatal(err)
	}
}

func serveChild(t *testing.T, path string, port uint16) *exec.Cmd {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), serveEnv+"="+path, fmt.Sprintf("%s=%d", portEnv, port))
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Kill() })
	return child
}

// load has many clients take addresses until nobody answers, and notes who was
// sent an ACK; told hears how many.
func load(t *testing.T, port uint16, round int, acked map[string]netip.Addr, told func(n int)) {
	t.Helper()
	var mu sync.Mutex
	var clients sync.WaitGroup
	n := 0
	for worker := range 16 {
		conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 8, 0, 1)}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)})
		if err != nil {
			t.Fatal(err)
		}
		clients.Go(func() {
			defer conn.Close()           //nolint:errcheck // it was only used to ask
			patience := 10 * time.Second // until the server is there
			for client := 0; ; client++ {
				mac := net.HardwareAddr{0x52, 0x54, byte(round), byte(worker), byte(client >> 8), byte(client)}
				ip, ok := take(conn, mac, patience)
				if !ok {
					return
				}
				patience = time.Second
				mu.Lock()
				acked[mac.String()] = ip
				n++
				told(n)
				mu.Unlock()
			}
		})
	}
	clients.Wait()
}

// take is the four packets of one client; false: nobody answers.
func take(conn *net.UDPConn, mac net.HardwareAddr, patience time.Duration) (netip.Addr, bool) {
	common := []dhcpv4.Modifier{dhcpv4.WithHwAddr(mac), dhcpv4.WithGatewayIP(net.IPv4(127, 8, 0, 1)), dhcpv4.WithGeneric(dhcpv4.OptionRelayAgentInformation, []byte{19, 0})}
	offer := ask(conn, patience, dhcpv4.MessageTypeOffer, append(common, dhcpv4.WithMessageType(discover))...)
	if offer == nil {
		return netip.Addr{}, false
	}
	ack := ask(conn, patience, dhcpv4.MessageTypeAck, append(common, dhcpv4.WithMessageType(request),
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(offer.YourIPAddr)), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(offer.ServerIdentifier())))...)
	if ack == nil {
		return netip.Addr{}, false
	}
	got, ok := netip.AddrFromSlice(ack.YourIPAddr.To4())
	return got, ok
}

// ask asks until it is answered so.
func ask(conn *net.UDPConn, patience time.Duration, want dhcpv4.MessageType, say ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	p, err := dhcpv4.New(say...)
	if err != nil {
		return nil
	}
	buffer := make([]byte, 1500)
	for began := time.Now(); time.Since(began) < patience; {
		_, _ = conn.Write(p.ToBytes()) // refused, until somebody is there
		again := time.Now().Add(200 * time.Millisecond)
		_ = conn.SetReadDeadline(again)
		for time.Now().Before(again) {
			n, err := conn.Read(buffer)
			if err != nil {
				if !errors.Is(err, os.ErrDeadlineExceeded) { // nobody is there yet, or any more
					time.Sleep(20 * time.Millisecond)
				}
				break
			}
			if got, err := dhcpv4.FromBytes(buffer[:n]); err == nil && got.TransactionID == p.TransactionID && got.MessageType() == want {
				return got
			}
		}
	}
	return nil
}
