package ramdisk_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/image"
)

// TestInstallInQEMU installs a whole Debian and boots it from disk, on both
// firmwares. It takes minutes: SPROUT_DEBIAN_IMAGE names the image to install
// (see image/debian).
func TestInstallInQEMU(t *testing.T) {
	name := os.Getenv("SPROUT_DEBIAN_IMAGE")
	if name == "" {
		t.Skip("SPROUT_DEBIAN_IMAGE does not name an image: it takes minutes to install one")
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	images, err := image.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	img, err := images.Import(t.Context(), f, image.ImportOptions{Name: "debian-12"})
	if err != nil {
		t.Fatal(err)
	}
	files := buildRamdisk(t)
	for _, mode := range []sprout.BootMode{sprout.BIOS, sprout.UEFI} {
		t.Run(string(mode), func(t *testing.T) { install(t, files, images, img, mode) })
	}
}

func install(t *testing.T, files string, images *image.Store, img sprout.Image, mode sprout.BootMode) {
	t.Helper()
	s := newSite(t, images)
	home := make(chan string, 4)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /phone-home", func(_ http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err == nil {
			home <- r.Form.Get("fqdn")
		}
	})
	mux.Handle("/", s.server.Config.Handler)
	s.server.Config.Handler = mux
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(disk, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 3<<30); err != nil {
		t.Fatal(err)
	}
	power := func(more ...string) (off func(), console string) {
		return machine(t, mode, []string{disk}, more...)
	}
	off, console := power("-kernel", files+"/vmlinuz", "-initrd", files+"/initrd",
		"-append", fmt.Sprintf("console=ttyS0 sprout.url=%s sprout.token=%s sprout.mac=%s", s.guestURL(), token, bootMAC))
	defer func() {
		text, _ := os.ReadFile(console)
		t.Logf("console:\n%s", text[max(0, len(text)-6000):])
	}()
	order := writeOrder("1", img, sprout.DiskRule{})
	order.Write.ConfigDrive = sprout.ConfigDrive{
		MetaData: "instance-id: i-1\nlocal-hostname: web-01.lon1.example\n",
		UserData: "#cloud-config\nphone_home: { url: \"" + s.guestURL() + "/phone-home\", post: [ fqdn ], tries: 5 }\n" +
			"bootcmd: [ [ sh, -c, 'df /; lsblk -o NAME,SIZE,LABEL; ip -br addr > /dev/ttyS0' ] ]\n",
		NetworkConfig: "version: 2\nethernets: { boot: { match: { macaddress: \"" + bootMAC + "\" }, addresses: [ 10.0.2.77/24 ], gateway4: 10.0.2.2 } }\n",
	}
	r := s.await(order, 6*time.Minute)
	if r.Failure != nil {
		off()
		t.Fatalf("write: %+v", r.Failure)
	}
	t.Logf("written: %+v", r.Written)
	if r := s.await(sprout.Order{ID: "2", Kind: sprout.OrderInspect}, 20*time.Second); r.Inventory == nil || r.Inventory.BootMode != mode {
		t.Errorf("booted in mode %s: %+v", mode, r.Inventory)
	}
	off()
	off, console = power()
	defer off()
	began := time.Now()
	select {
	case fqdn := <-home:
		t.Logf("phoned home as %s after %s", fqdn, time.Since(began))
		if fqdn != "web-01.lon1.example" {
			t.Errorf("it phoned home as %q", fqdn)
		}
	case <-time.After(8 * time.Minute):
		t.Fatal("the installed system has not phoned home")
	}
	text, _ := os.ReadFile(console)
	if !bytes.Contains(text, []byte("10.0.2.77/24")) {
		t.Error("the console does not show the address")
	}
}

// machine starts a machine of either firmware with the disks; off ends it.
func machine(t *testing.T, mode sprout.BootMode, disks []string, more ...string) (off func(), console string) {
	t.Helper()
	dir := t.TempDir()
	console = filepath.Join(dir, "console")
	args := []string{"-accel", "tcg", "-smp", "2", "-m", "1024", "-display", "none", "-serial", "file:" + console,
		"-nic", "user,model=virtio-net-pci,mac=" + bootMAC}
	for i, disk := range disks {
		args = append(args, "-drive", fmt.Sprintf("if=none,id=disk%d,format=raw,cache=unsafe,file=%s", i, disk),
			"-device", fmt.Sprintf("virtio-blk-pci,drive=disk%d,serial=%s", i, strings.ToUpper(strings.SplitN(filepath.Base(disk), ",", 2)[0])))
	}
	if cpu := os.Getenv("SPROUT_TEST_CPU"); cpu != "" {
		args = append(args, "-cpu", cpu)
	}
	if mode == sprout.UEFI {
		vars := filepath.Join(dir, "vars")
		must(t, "", "cp", "/usr/share/OVMF/OVMF_VARS_4M.fd", vars)
		args = append(args, "-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd", "-drive", "if=pflash,format=raw,file="+vars)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", append(args, more...)...)
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	finished := make(chan struct{})
	go func() { defer close(finished); _ = cmd.Wait() }()
	off = func() { cancel(); <-finished }
	t.Cleanup(off)
	return off, console
}
