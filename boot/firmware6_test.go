package boot_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sprout"
	"sprout/boot"
	"sprout/boot/advert"
	"sprout/boot/tftp"
	"sprout/dhcp/builtin6"
	"sprout/dhcp/dhcptest"
)

// TestPXE6 boots OVMF by PXE where there is no IPv4 at all, until it fetches the
// kernel that its script names.
func TestPXE6(t *testing.T) {
	firmware6(t, []string{"IPv4PXESupport"}, "dhcp-offer offers fd00:20::", "tftp snponly.efi done", "http-script")
}

// TestHTTPBoot6 does the same by OVMF's HTTP boot.
func TestHTTPBoot6(t *testing.T) {
	firmware6(t, []string{"IPv4PXESupport", "IPv6PXESupport"}, "dhcp-offer offers fd00:20::", "x86-64 UEFI HTTP fetches snponly.efi", "http-snponly.efi", "http-script")
}

// firmware6 boots without what the firmware is not to try.
func firmware6(t *testing.T, without []string, stages ...string) {
	t.Helper()
	if os.Getenv("SPROUT_IPV6") == "" {
		t.Skip("takes minutes: make test-ipv6")
	}
	if dhcptest.Isolate(t) {
		return
	}
	for _, args := range [][]string{
		{"link", "add", "sproutbr", "type", "bridge", "mcast_snooping", "0"},
		{"addr", "add", "fd00:20::1/64", "nodad", "dev", "sproutbr"},
		{"link", "set", "sproutbr", "up"},
	} {
		dhcptest.Command(t, append([]string{"ip"}, args...)...)
	}
	seen := serveAll6(t)
	const mac = "52:54:00:00:0b:06"
	vars := filepath.Join(t.TempDir(), "vars.fd")
	copyFile(t, "/usr/share/OVMF/OVMF_VARS_4M.fd", vars)
	args := []string{
		"-device", "virtio-net-pci,netdev=n,romfile=,mac=" + mac, "-device", "virtio-rng-pci",
		"-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd", "-drive", "if=pflash,format=raw,file=" + vars,
	}
	for _, knob := range without {
		args = append(args, "-fw_cfg", "name=opt/org.tianocore/"+knob+",string=n")
	}
	power(t, "tap6", args)
	select {
	case <-seen.kernel(mac):
		t.Logf("%s fetched the kernel; it was seen to do:\n%s", mac, seen.of(mac))
	case <-time.After(4*time.Minute + 30*time.Second):
		t.Fatalf("%s did not fetch the kernel; it was seen to do:\n%s", mac, seen.of(mac))
	}
	for _, stage := range stages {
		if !strings.Contains(seen.of(mac), stage) {
			t.Errorf("%s skipped %q:\n%s", mac, stage, seen.of(mac))
		}
	}
}

// serveAll6 runs DHCPv6, router advertisements, TFTP and HTTP on the bridge
// until the test ends.
func serveAll6(t *testing.T) *witness {
	t.Helper()
	const url = "http://[fd00:20::1]:8080"
	w := &witness{begin: time.Now(), events: map[string][]string{}, done: map[string]chan struct{}{}}
	agent, prefix := netip.MustParseAddr("fd00:20::1"), netip.MustParsePrefix("fd00:20::/64")
	site := realSite{dhcptest.NewMemory(dhcptest.Seed{Subnets: []sprout.Subnet{{
		ID: "sub_a", CIDR: prefix, Discover: true,
		Ranges: []sprout.Range{{Kind: sprout.Dynamic, First: netip.MustParseAddr("fd00:20::1:0"), Last: netip.MustParseAddr("fd00:20::1:ffff")}},
	}}})}
	leases, err := builtin6.New(builtin6.Config{
		Interface: "sproutbr", Address: agent, DUID: []byte{0, 3, 0, 1, 2, 0, 0, 0, 0, 1}, Ledger: site, BootURL: url, Events: w.see,
	})
	if err != nil {
		t.Fatal(err)
	}
	loaders, err := tftp.New(tftp.Config{
		Address: netip.AddrPortFrom(agent, 69), Open: tftp.Files(boot.DefaultLoaders, boot.LoaderFiles...),
		Transferred: func(one tftp.Transfer) {
			if l, ok := site.LeaseByIP(one.Client.Addr()); ok {
				w.see(sprout.BootEvent{MAC: l.MAC, What: "tftp", Detail: one.File + " " + string(one.Outcome) + " " + one.Elapsed.String()})
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	files := t.TempDir()
	for _, name := range []string{"vmlinuz", "initrd"} {
		copyFile(t, "/usr/lib/ipxe/undionly.kpxe", filepath.Join(files, name))
	}
	listener, err := net.Listen("tcp", "[fd00:20::1]:8080")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: boot.Handler(boot.Config{Ledger: site, URL: url, Files: files, Events: w.see})}
	say := func(asked bool) advert.Word {
		router := time.Duration(0)
		if asked {
			router = time.Minute // without a router OVMF waits 30 s for one
		}
		return advert.Word{Stateful: true, Router: router, Low: true, Prefixes: []advert.Prefix{{Prefix: prefix}}, DNS: []netip.Addr{agent}}
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(listener) })
	for _, serve := range []func(context.Context) error{
		leases.Serve, loaders.Serve, func(ctx context.Context) error {
			return advert.Serve(ctx, advert.Config{Interface: "sproutbr", Say: say, Log: slog.New(slog.DiscardHandler)})
		},
	} {
		running.Go(func() {
			if err := serve(ctx); err != nil {
				t.Errorf("Serve: %v", err)
			}
		})
	}
	t.Cleanup(func() {
		stop()
		_ = server.Close()
		running.Wait()
	})
	if capture := os.Getenv("SPROUT_CAPTURE"); capture != "" {
		record(t, capture)
	}
	return w
}

// record keeps what goes over the bridge, for people who want to see it.
func record(t *testing.T, file string) {
	t.Helper()
	dump := exec.CommandContext(t.Context(), "tcpdump", "-U", "-i", "sproutbr", "-w", file, "udp port 547 or icmp6 or udp port 69")
	if err := dump.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = dump.Process.Kill(), dump.Wait() })
}
