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
	"sprout/boot/neighbour"
	"sprout/boot/tftp"
	"sprout/dhcp/builtin"
	"sprout/dhcp/dhcptest"
)

// A site for real firmware: the DHCP ledger answers what boot asks, too.
type realSite struct{ *dhcptest.Memory }

func (s realSite) Intent(sprout.MachineID) (sprout.Intent, bool) { return sprout.Intent{}, false }
func (s realSite) MachineByMAC(mac string) (sprout.SiteMachine, bool) {
	return s.Known(mac)
}
func (s realSite) SubnetOf(ip netip.Addr) (sprout.Subnet, bool) {
	sub := s.Subnets()[0]
	return sub, sub.CIDR.Contains(ip)
}
func (s realSite) StartDiscovery(context.Context, string, netip.Addr) (sprout.Intent, error) {
	return sprout.Intent{Attempt: "att_1", Purpose: "discover", Token: "TOKEN1", ExpiresAt: time.Now().Add(time.Hour)}, nil
}

// TestFirmware boots real firmware against our own DHCP, TFTP and HTTP: the
// BIOS by QEMU's iPXE option ROM, UEFI by OVMF's own PXE. Each must come to
// fetch the kernel that its script names.
func TestFirmware(t *testing.T) {
	bootFirmware(t, func() sprout.Subnet {
		return sprout.Subnet{
			ID: "sub_a", CIDR: netip.MustParsePrefix("10.0.0.0/24"), Discover: true,
			Ranges: []sprout.Range{{Kind: sprout.Dynamic, First: netip.MustParseAddr("10.0.0.100"), Last: netip.MustParseAddr("10.0.0.199")}},
		}
	})
}

// bootFirmware boots real firmware on a bridge of its own, in the subnet.
func bootFirmware(t *testing.T, subnet func() sprout.Subnet) {
	t.Helper()
	for _, need := range []string{"/usr/bin/qemu-system-x86_64", "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/lib/ipxe/snponly.efi"} {
		if _, err := os.Stat(need); err != nil {
			t.Skipf("%v: apt-get install qemu-system-x86 ovmf ipxe", err)
		}
	}
	if testing.Short() {
		t.Skip("takes up to a minute")
	}
	if dhcptest.Isolate(t) {
		return
	}
	dhcptest.Command(t, "ip", "link", "add", "sproutbr", "type", "bridge")
	dhcptest.Command(t, "ip", "addr", "add", "10.0.0.1/24", "dev", "sproutbr")
	dhcptest.Command(t, "ip", "link", "set", "sproutbr", "up")
	seen := serveAll(t, subnet())
	vars := filepath.Join(t.TempDir(), "vars.fd")
	copyFile(t, "/usr/share/OVMF/OVMF_VARS_4M.fd", vars)
	machines := map[string][]string{
		"52:54:00:00:0b:01": {"-device", "virtio-net-pci,netdev=n,mac=52:54:00:00:0b:01"},
		"52:54:00:00:0b:02": {
			"-device", "virtio-net-pci,netdev=n,romfile=,mac=52:54:00:00:0b:02",
			"-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd", "-drive", "if=pflash,format=raw,file=" + vars,
		},
	}
	for mac, args := range machines {
		power(t, "tap"+mac[15:], args)
	}
	deadline := time.After(150 * time.Second)
	for mac := range machines {
		select {
		case <-seen.kernel(mac):
			t.Logf("%s fetched the kernel; it was seen to do:\n%s", mac, seen.of(mac))
		case <-deadline:
			t.Fatalf("%s did not fetch the kernel; it was seen to do:\n%s", mac, seen.of(mac))
		}
	}
	for mac, loader := range map[string]string{"52:54:00:00:0b:01": "dhcp-offer", "52:54:00:00:0b:02": "tftp snponly.efi done"} {
		if !strings.Contains(seen.of(mac), loader) || !strings.Contains(seen.of(mac), "http-script") {
			t.Errorf("%s skipped a stage (%s, script):\n%s", mac, loader, seen.of(mac))
		}
	}
}

// power starts a machine on a tap of the bridge; it dies with the test.
func power(t *testing.T, tap string, args []string) {
	t.Helper()
	dhcptest.Command(t, "ip", "tuntap", "add", tap, "mode", "tap")
	dhcptest.Command(t, "ip", "link", "set", tap, "master", "sproutbr", "up")
	all := append([]string{
		"-n", "5", "qemu-system-x86_64", "-machine", "q35,accel=tcg", "-m", "512", "-display", "none", "-serial", "none", "-monitor", "none",
		"-boot", "n", "-netdev", "tap,id=n,script=no,downscript=no,ifname=" + tap,
	}, args...)
	qemu := exec.CommandContext(t.Context(), "nice", all...)
	qemu.Stderr = os.Stderr
	if err := qemu.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = qemu.Process.Kill(), qemu.Wait() })
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A witness collects what boots were seen to do.
type witness struct {
	mu     sync.Mutex
	begin  time.Time
	events map[string][]string
	done   map[string]chan struct{}
}

func (w *witness) kernel(mac string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done[mac] == nil {
		w.done[mac] = make(chan struct{})
	}
	return w.done[mac]
}

func (w *witness) see(e sprout.BootEvent) {
	done := w.kernel(e.MAC)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events[e.MAC] = append(w.events[e.MAC], time.Since(w.begin).Round(100*time.Millisecond).String()+" "+e.What+" "+e.Detail)
	select {
	case <-done:
	default:
		if e.What == "http-vmlinuz" {
			close(w.done[e.MAC])
		}
	}
}

func (w *witness) of(mac string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.events[mac], "\n")
}

// serveAll runs DHCP, TFTP and HTTP on the bridge until the test ends.
func serveAll(t *testing.T, subnet sprout.Subnet) *witness {
	t.Helper()
	w := &witness{begin: time.Now(), events: map[string][]string{}, done: map[string]chan struct{}{}}
	agent := netip.MustParseAddr("10.0.0.1")
	site := realSite{dhcptest.NewMemory(dhcptest.Seed{Subnets: []sprout.Subnet{subnet}})}
	leases, err := builtin.New(builtin.Config{Interface: "sproutbr", Address: agent, Ledger: site, BootURL: "http://10.0.0.1:8080", Events: w.see})
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
	listener, err := net.Listen("tcp", "10.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	// Whoever asks first finds the kernel replaced that its script names: iPXE has to
	// ask for the script again. Who has an address is asked of this very link.
	replaced := sync.OnceFunc(func() { copyFile(t, "/usr/lib/ipxe/snponly.efi", filepath.Join(files, "vmlinuz")) })
	served := boot.Handler(boot.Config{Ledger: site, URL: "http://10.0.0.1:8080", Files: files, Neighbour: neighbour.Of, Events: w.see})
	server := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, q *http.Request) {
		served.ServeHTTP(rw, q)
		if strings.HasSuffix(q.URL.Path, ".ipxe") {
			replaced()
		}
	})}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(listener) })
	for _, serve := range []func(context.Context) error{leases.Serve, loaders.Serve} {
		running.Go(func() {
			if err := serve(ctx); err != nil {
				t.Errorf("Serve: %v", err)
			}
		})
	}
	// The namespace is the process's, so any thread may open the socket.
	running.Go(func() {
		if err := advert.Serve(ctx, advert.Config{Interface: "sproutbr", Say: func(bool) (nothing advert.Word) { return nothing }, Log: slog.New(slog.DiscardHandler)}); err != nil {
			t.Errorf("advert: %v", err)
		}
	})
	t.Cleanup(func() {
		stop()
		_ = server.Close()
		running.Wait()
	})
	<-leases.Ready()
	<-loaders.Ready()
	return w
}
