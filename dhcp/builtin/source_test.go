package builtin_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sprout/dhcp/builtin"
	"sprout/dhcp/dhcptest"
)

// TestSourceAddress hears every answer come from the address that the server
// names itself by, on a host that would speak from another one: frames to a client
// without an address, broadcasts, and unicasts.
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
	if answers < 5 { // of six the last may not be written yet
		t.Errorf("only %d answers were heard", answers)
	}
}
