package builtin_test

import (
	"context"
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
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"sprout/dhcp/builtin"
	"sprout/dhcp/dhcptest"
	"sprout/sitestore"
)

// serveDevice serves as an agent does, on a device.
func serveDevice(path, device string) error {
	store, err := sitestore.Open(path, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	s, err := builtin.New(builtin.Config{Interface: device, Address: netip.MustParseAddr("10.0.0.1"), Ledger: store})
	if err != nil {
		return err
	}
	return s.Serve(context.Background())
}

// TestPerfdhcpSurvivesKill: while perfdhcp does 1,000 exchanges a second, the server
// is killed (SIGKILL), and started again on what it left, three times. Whoever was
// sent an ACK, as seen on the wire, has its lease each time.
func TestPerfdhcpSurvivesKill(t *testing.T) {
	if _, err := exec.LookPath("perfdhcp"); err != nil {
		t.Skip("perfdhcp is missing: apt-get install kea-admin")
	}
	if dhcptest.Isolate(t) {
		return
	}
	path := filepath.Join(t.TempDir(), "data", "site.db")
	makeSite(t, path, "10.0.0.0/16", "10.0.1.0", "10.0.255.250")
	peer := dhcptest.Veth(t, "sproutd", "10.0.0.1/16", "52:54:00:00:0a:01")
	peer.Run(t, "ip", "addr", "add", "10.0.0.2/16", "dev", peer.Device)
	acked := map[string]netip.Addr{}
	for round := range 3 {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), serveEnv+"="+path, deviceEnv+"=sproutd")
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = child.Process.Kill() })
		awaitAnswers(t, peer)
		wire, before := listen(t, peer, acked), len(acked)
		began := time.Now()
		load := peer.Command(t, "perfdhcp", "-4", "-l", "10.0.0.2", "-b", fmt.Sprintf("mac=02:0%d:00:00:00:00", round), "-R", "30000", "-r", "1000", "-p", "20", "10.0.0.1")
		if err := load.Start(); err != nil {
			t.Fatal(err)
		}
		wire.await(t, 1500)
		_, _ = child.Process.Kill(), child.Wait()
		took := time.Since(began)
		_, _ = load.Process.Kill(), load.Wait()
		wire.drain(t)
		t.Logf("round %d: killed after %s, %d ACKs, %d clients more have one", round, took.Round(time.Millisecond), wire.n, len(acked)-before)
		store, err := sitestore.Open(path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		lost := 0
		for mac, ip := range acked {
			if l, ok := store.LeaseByClient("sub_a", mac); !ok || l.IP != ip || l.State != "bound" {
				if lost++; lost < 5 {
					t.Errorf("round %d: the lease of %s by %s was acknowledged and is %+v", round, ip, mac, l)
				}
			}
		}
		if lost > 0 {
			t.Errorf("round %d: %d of %d leases are lost", round, lost, len(acked))
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitAnswers has perfdhcp ask until somebody answers.
func awaitAnswers(t *testing.T, peer dhcptest.Peer) {
	t.Helper()
	for late := time.Now().Add(30 * time.Second); ; {
		out, err := peer.Command(t, "perfdhcp", "-4", "-l", "10.0.0.2", "-n", "2", "-r", "50", "-W", "100000", "10.0.0.1").CombinedOutput()
		if err == nil {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("nobody answers: %v\n%s", err, out)
		}
	}
}

// An ackWatch is what was seen of ACKs on a wire.
type ackWatch struct {
	conn  *packet.Conn
	acked map[string]netip.Addr
	mu    sync.Mutex
	n     int
	heard chan struct{} // one is there
	ended chan error
}

// listen notes who is sent an ACK at the peer's device.
func listen(t *testing.T, peer dhcptest.Peer, acked map[string]netip.Addr) *ackWatch {
	t.Helper()
	w := &ackWatch{acked: acked, heard: make(chan struct{}, 1), ended: make(chan error, 1)}
	peer.Inside(t, func() error {
		device, err := net.InterfaceByName(peer.Device)
		if err != nil {
			return err
		}
		w.conn, err = packet.Listen(device, packet.Raw, unix.ETH_P_IP, nil)
		return err
	})
	t.Cleanup(func() { _ = w.conn.Close() })
	go func() { w.ended <- w.read() }()
	return w
}

func (w *ackWatch) read() error {
	const header = 14 + 20 + 8 // neither the server nor perfdhcp sends options of IP
	buffer := make([]byte, 2048)
	for {
		n, _, err := w.conn.ReadFrom(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		if n < header || buffer[14+9] != unix.IPPROTO_UDP {
			continue
		}
		p, err := dhcpv4.FromBytes(slices.Clone(buffer[header:n]))
		if err != nil || p.MessageType() != dhcpv4.MessageTypeAck {
			continue
		}
		ip, _ := netip.AddrFromSlice(p.YourIPAddr.To4())
		w.mu.Lock()
		w.acked[p.ClientHWAddr.String()] = ip
		w.n++
		w.mu.Unlock()
		select {
		case w.heard <- struct{}{}:
		default: // nobody has taken the last one yet
		}
	}
}

// await waits until there were so many ACKs.
func (w *ackWatch) await(t *testing.T, many int) {
	t.Helper()
	late := time.After(60 * time.Second)
	for {
		w.mu.Lock()
		n := w.n
		w.mu.Unlock()
		if n >= many {
			return
		}
		select {
		case <-w.heard:
		case err := <-w.ended:
			t.Fatalf("the wire is not heard any more: %v", err)
		case <-late:
			t.Fatalf("%d ACKs in a minute", n)
		}
	}
}

// drain reads what is left once nobody sends any more.
func (w *ackWatch) drain(t *testing.T) {
	t.Helper()
	_ = w.conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if err := <-w.ended; err != nil {
		t.Fatal(err)
	}
}
