package boot_test

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/boot"
	"sprout/dhcp/dhcptest"
	"sprout/dhcp/kea"
	"sprout/dhcp/kea/keatest"
)

// keaSite asks Kea for each lease that boot wants, as an agent does.
type keaSite struct {
	realSite
	kea *kea.Server
}

func (s keaSite) LeaseByIP(ip netip.Addr) (sprout.Lease, bool) {
	l, ok, err := s.kea.Lease(context.Background(), ip)
	return l, ok && err == nil
}

// TestFirmwareByKea boots QEMU's iPXE by a real Kea: it must fetch its own boot
// script, whose URL Kea made, and then the kernel that this names.
func TestFirmwareByKea(t *testing.T) {
	if _, err := os.Stat("/usr/bin/qemu-system-x86_64"); err != nil {
		t.Skipf("%v: apt-get install qemu-system-x86", err)
	}
	if testing.Short() {
		t.Skip("takes up to a minute")
	}
	if dhcptest.Isolate(t) {
		return
	}
	const mac = "52:54:00:00:0b:01"
	dhcptest.Command(t, "ip", "link", "add", "sproutbr", "type", "bridge")
	dhcptest.Command(t, "ip", "addr", "add", "10.0.0.1/24", "dev", "sproutbr")
	dhcptest.Command(t, "ip", "link", "set", "sproutbr", "up")
	seen := &witness{begin: time.Now(), events: map[string][]string{}, done: map[string]chan struct{}{}}
	site := realSite{dhcptest.NewMemory(dhcptest.Seed{Subnets: []sprout.Subnet{{
		ID: "sub_a", CIDR: netip.MustParsePrefix("10.0.0.0/24"), Discover: true,
		Ranges: []sprout.Range{{Kind: sprout.Dynamic, First: netip.MustParseAddr("10.0.0.100"), Last: netip.MustParseAddr("10.0.0.199")}},
	}}})}
	d := keatest.New(t, keatest.Plain)
	d.Start(t)
	leases, err := kea.New(kea.Config{
		Socket: d.Socket, Interface: "sproutbr", Address: netip.MustParseAddr("10.0.0.1"), Ledger: site, BootURL: "http://10.0.0.1:8080", Events: seen.see,
		Trouble: func(code sprout.Code, reason, evidence string) {
			if reason != "" {
				t.Errorf("%s: %s: %s", code, reason, evidence)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	dhcptest.Serve(t, leases)
	serveBoot(t, keaSite{site, leases}, seen)
	power(t, "tap01", []string{"-device", "virtio-net-pci,netdev=n,mac=" + mac})
	select {
	case <-seen.kernel(mac):
	case <-time.After(150 * time.Second):
		t.Fatalf("it did not fetch the kernel; it was seen to do:\n%s", seen.of(mac))
	}
	for _, stage := range []string{"dhcp-discover", "dhcp-ack Kea gives 10.0.0.1", "to boot http://10.0.0.1:8080/boot/52-54-00-00-0b-01.ipxe", "http-script"} {
		if !strings.Contains(seen.of(mac), stage) {
			t.Errorf("it was not seen to do %q:\n%s", stage, seen.of(mac))
		}
	}
}

// serveBoot serves boot scripts and a kernel until the test ends.
func serveBoot(t *testing.T, site boot.Ledger, seen *witness) {
	t.Helper()
	files := t.TempDir()
	for _, name := range []string{"vmlinuz", "initrd"} {
		copyFile(t, "/usr/lib/ipxe/undionly.kpxe", filepath.Join(files, name))
	}
	listener, err := net.Listen("tcp", "10.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: boot.Handler(boot.Config{Ledger: site, URL: "http://10.0.0.1:8080", Files: files, Events: seen.see})}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); <-ended })
}
