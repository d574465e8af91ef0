package ramdisk_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/hwtest"
	"sprout/hwtest/builtin"
	"sprout/image"
	"sprout/ramdisk/build"
)

// TestBadHardwareInQEMU boots the real ramdisk on a machine with a disk that has
// an unreadable sector, an NVMe disk that raises its critical warning, a port
// without link and too little memory. It runs the scripts that come with Sprout,
// with the real tools out of their squashfs: each fault is found on its device,
// and nothing else is blamed. It takes minutes: make test-hardware.
func TestBadHardwareInQEMU(t *testing.T) {
	if os.Getenv("SPROUT_HARDWARE") == "" {
		t.Skip("it takes minutes and needs mmdebstrap and mksquashfs: make test-hardware")
	}
	init := buildInit(t)
	files := os.Getenv("SPROUT_HARDWARE")
	if err := build.Build(t.Context(), files, build.Options{InitPath: init, Tools: true}, slog.New(slog.NewTextHandler(t.Output(), nil))); err != nil {
		t.Fatal(err)
	}
	images, err := image.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, images)
	tools := serveTests(t, s, filepath.Join(files, "tools.squashfs"))
	ended := bootBad(t, files, s)
	select {
	case <-s.hello:
	case err := <-ended:
		t.Fatalf("QEMU ended: %v", err)
	case <-time.After(3 * time.Minute):
		t.Fatal("the ramdisk has not said hello")
	}

	order := sprout.TestOrder{Tools: &tools}
	for name, values := range map[string]map[string]string{
		"smart": {}, "smart-selftest": {}, "disk-surface": {"most": "1"}, "disk-speed": {"runtime": "2s"}, "nic-errors": {"runtime": "1s"}, "ecc": {}, "sensors": {}, "bmc-log": {},
		"clock": {"runtime": "20s", "drift": "100000"}, "packet-loss": {"runtime": "4s"},
		"memory-size": {"least": "64GiB"}, "memtester": {"share": "6"}, "stress": {"runtime": "5s", "memory": "5"},
	} {
		order.Runs = append(order.Runs, chosen(t, name, values))
	}
	report := s.await(sprout.Order{ID: "1", Kind: sprout.OrderTest, Test: &order}, 15*time.Minute)
	found := map[string]sprout.TestResult{}
	for _, r := range report.Tests {
		found[r.Test+" "+r.Device] = r
		t.Logf("%s %s (%s): %s %q %v in %.1f s\n%s", r.Test, r.Device, r.Serial, r.Outcome, r.Message, r.Metrics, r.Seconds, r.Output)
	}
	for what, want := range map[string]struct {
		outcome sprout.Outcome
		says    string
	}{
		"disk-surface vda": {sprout.Passed, ""}, "disk-surface nvme0n1": {sprout.Passed, ""},
		"disk-surface vdb": {sprout.Failed, "blocks of 64 KiB cannot be read, the first at 20480 KiB"},
		"disk-read vdb":    {sprout.Failed, "input/output error"}, "disk-speed vdb": {sprout.Failed, "reading failed"},
		"smart nvme0n1": {sprout.Failed, "critical warning: 0x04"}, "smart vda": {sprout.Skipped, "does not speak SMART"},
		"smart sda": {sprout.Passed, ""}, "smart-selftest sda": {sprout.Passed, ""}, "smart-selftest nvme0n1": {sprout.Skipped, "no test of itself"},
		"smart-selftest vda": {sprout.Skipped, "no test of itself"},
		"nic-errors eth0":    {sprout.Passed, ""}, "nic-errors eth1": {sprout.Failed, "the link of eth1 is down"},
		"memory-size memory": {sprout.Failed, "MiB of memory, and must have 65536"}, "memtester memory": {sprout.Passed, ""},
		"disk-speed vda": {sprout.Passed, ""}, "disk-speed nvme0n1": {sprout.Passed, ""}, "stress node": {sprout.Passed, ""},
		"ecc memory": {sprout.Skipped, "counts no errors"}, "sensors node": {sprout.Passed, ""}, // of the NVMe disk
		"clock node":       {sprout.Passed, ""},
		"packet-loss eth0": {sprout.Passed, ""}, "packet-loss eth1": {sprout.Skipped, "no cable"},
		"bmc-log node":       {sprout.Skipped, "no BMC"},
		"cpu-arithmetic cpu": {sprout.Passed, ""},
	} {
		if got := found[what]; got.Outcome != want.outcome || !strings.Contains(got.Message, want.says) {
			t.Errorf("%s: %s %q, want %s %q", what, got.Outcome, got.Message, want.outcome, want.says)
		}
	}
	if r := found["disk-surface vdb"]; r.Serial != "BAD" {
		t.Errorf("the bad disk is known as %q", r.Serial)
	}
	for _, name := range []string{"iops", "latency", "bandwidth"} {
		if !hasFigure(found["disk-speed vda"], name) {
			t.Errorf("disk-speed yields no %s: %v", name, found["disk-speed vda"].Metrics)
		}
	}
}

func hasFigure(r sprout.TestResult, name string) bool {
	for _, m := range r.Metrics {
		if m.Name == name && m.Value > 0 {
			return true
		}
	}
	return false
}

// chosen is a run of a test that comes with Sprout.
func chosen(t *testing.T, name string, values map[string]string) sprout.TestRun {
	t.Helper()
	for _, e := range builtin.Library() {
		if e.Name == name {
			run, err := hwtest.Choose(e.Test, values, "parameters")
			if err != nil {
				t.Fatal(err)
			}
			return run
		}
	}
	t.Fatalf("there is no test %s", name)
	return sprout.TestRun{}
}

// serveTests has the site serve every test that comes with Sprout, and the tools.
func serveTests(t *testing.T, s *site, tools string) sprout.Tools {
	t.Helper()
	raw, err := os.ReadFile(tools)
	if err != nil {
		t.Fatal(err)
	}
	content := map[string][]byte{}
	for _, e := range builtin.Library() {
		content[e.Digest] = e.Content
	}
	whole := s.server.Config.Handler
	s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		digest, test := strings.CutPrefix(r.URL.Path, sprout.TestPath)
		switch {
		case r.URL.Path == sprout.ToolsPath && s.authorized(w, r):
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(raw)))
		case test && s.authorized(w, r):
			_, _ = w.Write(content[digest])
		default:
			whole.ServeHTTP(w, r)
		}
	})
	return sprout.Tools{Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(raw)), Bytes: int64(len(raw))}
}

// bootBad starts a machine with the faults. It never outlives the test.
func bootBad(t *testing.T, files string, s *site) <-chan error {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"good", "bad", "worn", "old"} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 64<<20), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	console, monitor := filepath.Join(dir, "console"), filepath.Join(dir, "monitor")
	const broken = 20 << 20 / 512
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg", "-smp", "2", "-m", "640", "-display", "none", "-no-reboot",
		"-uuid", machineUUID, "-smbios", "type=1,manufacturer=Acme,product=R1,serial=SN-1", "-serial", "file:"+console, "-monitor", "unix:"+monitor+",server=on,wait=off",
		"-kernel", files+"/vmlinuz", "-initrd", files+"/initrd",
		"-append", fmt.Sprintf("console=ttyS0 sprout.url=%s sprout.token=%s BOOTIF=01-%s", s.guestURL(), token, strings.ReplaceAll(bootMAC, ":", "-")),
		"-drive", "if=none,id=d1,format=raw,file="+filepath.Join(dir, "good"), "-device", "virtio-blk-pci,drive=d1,serial=GOOD",
		"-blockdev", fmt.Sprintf("driver=raw,node-name=d2,file.driver=blkdebug,file.image.driver=file,file.image.filename=%s,file.inject-error.0.event=read_aio,file.inject-error.0.errno=5,file.inject-error.0.sector=%d,file.inject-error.0.once=off,file.inject-error.0.immediately=off", filepath.Join(dir, "bad"), broken),
		"-device", "virtio-blk-pci,drive=d2,serial=BAD",
		"-drive", "if=none,id=d3,format=raw,file="+filepath.Join(dir, "worn"), "-device", "nvme,id=worn,drive=d3,serial=WORN",
		"-drive", "if=none,id=d4,format=raw,file="+filepath.Join(dir, "old"), "-device", "ahci,id=ahci", "-device", "ide-hd,drive=d4,bus=ahci.0,serial=OLD",
		"-netdev", "user,id=n1", "-device", "virtio-net-pci,netdev=n1,mac="+bootMAC,
		"-netdev", "user,id=n2,restrict=on", "-device", "e1000,id=port2,netdev=n2,mac=52:54:00:12:34:57")
	ended, finished := make(chan error, 1), make(chan struct{})
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	go func() { defer close(finished); ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cancel()
		<-finished
		if text, err := os.ReadFile(console); err == nil && t.Failed() {
			t.Logf("QEMU: %s\nconsole:\n%s", said.String(), text)
		}
	})
	tell(t, monitor, "set_link port2 off", "qom-set /machine/peripheral/worn smart_critical_warning 4")
	return ended
}

// tell gives QEMU's monitor commands as soon as it listens.
func tell(t *testing.T, monitor string, commands ...string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	var conn net.Conn
	for conn == nil {
		var err error
		if conn, err = net.Dial("unix", monitor); err != nil && time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	defer conn.Close() //nolint:errcheck // QEMU ends with the test
	if err := conn.SetDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	said := ""
	buf := make([]byte, 4096)
	for i := -1; i < len(commands); i++ {
		if i >= 0 {
			if _, err := fmt.Fprintln(conn, commands[i]); err != nil {
				t.Fatal(err)
			}
		}
		for strings.Count(said, "(qemu) ") < i+2 {
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatalf("the monitor: %v: %s", err, said)
			}
			said += string(buf[:n])
		}
	}
	if strings.Contains(said, "Error") {
		t.Fatalf("the monitor: %s", said)
	}
}
