package builtin_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout/dhcp/builtin"
	"sprout/dhcp/dhcptest"
)

// TestSourceAddress hears every answer come from the address that the server
// names itself by, on a host that would speak from another one: frames to a client
// without an address, broadcasts, unicasts, and what relays are answered.
func TestSourceAddress(t *testing.T) {
	installed(t, "udhcpc", "udhcpc")
	installed(t, "tcpdump", "tcpdump")
	if dhcptest.Isolate(t) {
		return
	}
	peer := dhcptest.Veth(t, "sproutd", "10.0.0.9/24", stranger)
	dhcptest.Command(t, "ip", "addr", "add", "10.0.0.1/24", "dev", "sproutd") // the second: the kernel prefers the first
	serve(t, builtin.Config{Interface: "sproutd", Address: ip("10.0.0.1"), Ledger: dhcptest.NewMemory(seed())})
	heard := start(t, peer.Command(t, "tcpdump", "-n", "-l", "--immediate-mode", "-i", peer.Device, "udp and src port 67"))
	await := func(c <-chan struct{}, what string) {
		t.Helper()
		select {
		case <-c:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: not within 20 s", what)
		}
	}
	await(heard.said("listening on"), "tcpdump listens")
	script := filepath.Join(t.TempDir(), "configure")
	if err := os.WriteFile(script, []byte(strings.Replace(configure, "exit 0", "echo did $1", 1)), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		flags []string
		to    string
	}{{[]string{"-r", "10.0.0.101"}, "10.0.0.101.68: "}, {[]string{"-B", "-r", "10.0.0.101"}, "255.255.255.255.68: "}} {
		answers := heard.said(" > " + c.to)
		client := start(t, peer.Command(t, append([]string{"udhcpc", "-f", "-i", peer.Device, "-s", script, "-T", "1"}, c.flags...)...))
		await(client.said("lease of"), "a lease")
		await(answers, "an answer to "+c.to)
		renewed := client.said("did renew")
		if err := client.Process.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		await(renewed, "a renewal")
		_ = client.Process.Kill()
	}
	for _, c := range askFrom(t, peer, "10.0.0.2") {
		answers := heard.said(" > " + c.to)
		if _, err := c.conn.Write(c.packet.ToBytes()); err != nil {
			t.Fatal(err)
		}
		await(answers, c.packet.MessageType().String()+" is answered at "+c.to)
	}
	heard.mu.Lock()
	defer heard.mu.Unlock()
	answers := 0
	for line := range strings.Lines(heard.out.String()) {
		if _, rest, ok := strings.Cut(line, " IP "); ok {
			if answers++; !strings.HasPrefix(rest, "10.0.0.1.67 > ") {
				t.Errorf("an answer from elsewhere: %s", line)
			}
		}
	}
	if answers < 10 {
		t.Errorf("only %d answers were heard", answers)
	}
}

// An asking is a packet of a client that has an address, or of a relay, and where
// its answer goes.
type asking struct {
	conn   *net.UDPConn
	packet *dhcpv4.DHCPv4
	to     string
}

// askFrom are the ways to be answered at an address of the peer: as a client that
// informs itself or is refused an address, and as a relay of one that is offered an
// address or refused one, at the port of relays and at one of its own (RFC 8357).
func askFrom(t *testing.T, peer dhcptest.Peer, address string) (all []asking) {
	t.Helper()
	peer.Run(t, "ip", "addr", "add", address+"/24", "dev", peer.Device)
	mac, err := net.ParseMAC(other)
	if err != nil {
		t.Fatal(err)
	}
	own := net.ParseIP(address)
	wrong := dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.IPv4(192, 168, 7, 7)))
	for _, c := range []struct {
		port int
		kind dhcpv4.MessageType
		says []dhcpv4.Modifier
		to   string
	}{
		{1068, dhcpv4.MessageTypeInform, []dhcpv4.Modifier{dhcpv4.WithClientIP(own)}, address + ".68: "},
		{1069, request, []dhcpv4.Modifier{wrong}, "255.255.255.255.68: "},
		{1070, discover, []dhcpv4.Modifier{dhcpv4.WithGatewayIP(own)}, address + ".67: "},
		{1071, request, []dhcpv4.Modifier{wrong, dhcpv4.WithGatewayIP(own)}, address + ".67: "},
		{1072, discover, []dhcpv4.Modifier{dhcpv4.WithGatewayIP(own), dhcpv4.WithGeneric(dhcpv4.OptionRelayAgentInformation, []byte{19, 0})}, address + ".1072: "},
	} {
		a := asking{to: c.to}
		peer.Inside(t, func() (err error) {
			a.conn, err = net.DialUDP("udp4", &net.UDPAddr{IP: own, Port: c.port}, &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 67})
			return err
		})
		t.Cleanup(func() { _ = a.conn.Close() })
		if a.packet, err = dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithMessageType(c.kind), dhcpv4.WithHwAddr(mac)}, c.says...)...); err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}
