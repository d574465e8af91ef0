package ramdisk_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/image"
)

// layoutCases are what TestLayoutsInQEMU installs, and with which of the disks it
// starts what it has installed.
var layoutCases = []struct {
	name   string
	mode   sprout.BootMode
	layout sprout.LayoutChoice
	boots  [][]int
	says   []string // what the system must say of its disks
}{
	{"plain", sprout.UEFI, sprout.LayoutChoice{Name: "plain"}, [][]int{{0}}, []string{"/ /dev/vda3 ext4"}},
	{"raid1", sprout.UEFI, sprout.LayoutChoice{Name: "raid1", SwapBytes: 256 << 20}, [][]int{{0, 1}, {0}, {1}}, []string{"/ /dev/md", "raid1"}},
	{"raid1-bios", sprout.BIOS, sprout.LayoutChoice{Name: "raid1", BootBytes: 512 << 20}, [][]int{{0, 1}, {0}, {1}}, []string{"/ /dev/md", "/boot /dev/md", "raid1"}},
	{"lvm", sprout.BIOS, sprout.LayoutChoice{Name: "lvm", SwapBytes: 256 << 20}, [][]int{{0}}, []string{"/ /dev/mapper/system-root ext4"}},
	{"raid1-lvm", sprout.UEFI, sprout.LayoutChoice{Name: "raid1-lvm", BootBytes: 512 << 20, FileSystem: sprout.UseXFS}, [][]int{{0, 1}, {1}}, []string{"/ /dev/mapper/system-root xfs"}},
}

// TestLayoutsInQEMU has the real ramdisk install a root file system, and starts it from
// its disks: also with one of a mirror removed. SPROUT_LAYOUTS names the cases, or all.
func TestLayoutsInQEMU(t *testing.T) {
	wanted, files, rootfs := strings.Fields(os.Getenv("SPROUT_LAYOUTS")), os.Getenv("SPROUT_RAMDISK"), os.Getenv("SPROUT_ROOTFS")
	if len(wanted) == 0 {
		t.Skip("SPROUT_LAYOUTS names no case: it takes half an hour (make test-layouts)")
	}
	f, err := os.Open(rootfs)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	images, err := image.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	img, err := images.Import(t.Context(), f, image.ImportOptions{Name: "debian-12-rootfs"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range layoutCases {
		if wanted[0] != "all" && !slices.Contains(wanted, c.name) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			layout, err := c.layout.Layout()
			if err != nil {
				t.Fatal(err)
			}
			s := newSite(t, images)
			home := make(chan url.Values, 8)
			tools := s.serveLayouts(files, home)
			var disks []string
			for i := range layout.Disks {
				disks = append(disks, filepath.Join(t.TempDir(), fmt.Sprintf("disk%d", i)))
				if err := os.WriteFile(disks[i], nil, 0o644); err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(disks[i], 6<<30); err != nil {
					t.Fatal(err)
				}
			}
			order := writeOrder("1", img, sprout.DiskRule{})
			order.Kind, order.Write.Layout, order.Write.Tools, order.Write.Hostname = sprout.OrderInstall, &layout, &tools, "web-01.lon1.example"
			order.Write.ConfigDrive = sprout.ConfigDrive{
				MetaData: "instance-id: i-1\nlocal-hostname: web-01.lon1.example\n",
				UserData: "#cloud-config\nbootcmd: [ [ sh, -c, 'curl -s --retry 9 --retry-all-errors --data-urlencode fqdn=$(hostname -f) --data-urlencode mdstat@/proc/mdstat" +
					" --data-urlencode \"mounts=$(findmnt -rn -o TARGET,SOURCE,FSTYPE)\" --data-urlencode \"swap=$(cat /proc/swaps)\" " + s.guestURL() + "/phone-home' ] ]\n",
			}
			s.installLayout(t, files, c.mode, disks, order)
			for _, boot := range c.boots {
				s.startLayout(t, c.mode, disks, boot, home, c.says)
			}
		})
	}
}

// serveLayouts adds the tools of layouts, and where installed systems report.
func (s *site) serveLayouts(files string, home chan<- url.Values) sprout.Tools {
	s.t.Helper()
	raw, err := os.ReadFile(filepath.Join(files, "layout.squashfs"))
	if err != nil {
		s.t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+sprout.LayoutToolsPath, func(w http.ResponseWriter, r *http.Request) {
		if s.authorized(w, r) {
			http.ServeFile(w, r, filepath.Join(files, "layout.squashfs"))
		}
	})
	mux.HandleFunc("POST /phone-home", func(_ http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err == nil {
			home <- r.Form
		}
	})
	mux.Handle("/", s.server.Config.Handler)
	s.server.Config.Handler = mux
	return sprout.Tools{Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(raw)), Bytes: int64(len(raw)), Architecture: sprout.AMD64}
}

// installLayout has a ramdisk perform the order on the disks.
func (s *site) installLayout(t *testing.T, files string, mode sprout.BootMode, disks []string, order sprout.Order) {
	t.Helper()
	off, console := machine(t, mode, disks, "-kernel", files+"/vmlinuz", "-initrd", files+"/initrd",
		"-append", fmt.Sprintf("console=ttyS0 sprout.url=%s sprout.token=%s sprout.mac=%s", s.guestURL(), token, bootMAC))
	defer off()
	defer logEnd(t, console)
	began := time.Now()
	r := s.await(order, 25*time.Minute)
	if r.Failure != nil {
		t.Fatalf("install: %+v", r.Failure)
	}
	if r.Written == nil || !r.Written.Verified || len(r.Written.Disks) != len(disks) {
		t.Fatalf("installed: %+v", r.Written)
	}
	t.Logf("installed on %d disks after %s", len(disks), time.Since(began).Round(time.Second))
}

// startLayout starts what is installed with some of the disks alone, and leaves the
// disks as they were.
func (s *site) startLayout(t *testing.T, mode sprout.BootMode, disks []string, which []int, home <-chan url.Values, says []string) {
	t.Helper()
	var some []string
	for _, i := range which {
		some = append(some, disks[i]+",snapshot=on")
	}
	off, console := machine(t, mode, some)
	defer off()
	began := time.Now()
	select {
	case said := <-home:
		t.Logf("with disks %v it reported after %s as %s:\n%s%s%s", which, time.Since(began).Round(time.Second), said.Get("fqdn"), said.Get("mdstat"), said.Get("mounts"), said.Get("swap"))
		for _, want := range says {
			if !strings.Contains(said.Get("mounts")+said.Get("mdstat"), want) {
				t.Errorf("with disks %v it does not say %q", which, want)
			}
		}
	case <-time.After(12 * time.Minute):
		logEnd(t, console)
		t.Fatalf("with disks %v the installed system has not reported", which)
	}
}

func logEnd(t *testing.T, console string) {
	t.Helper()
	text, _ := os.ReadFile(console)
	t.Logf("console:\n%s", text[max(0, len(text)-6000):])
}
