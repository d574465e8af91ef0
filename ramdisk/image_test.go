package ramdisk_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"sprout"
	"sprout/image"
)

const imageBytes = 48 << 20

// smallImage makes a disk image with a GPT and an ext4 root that is last, and
// stores it compressed.
func smallImage(t *testing.T, store *image.Store) (sprout.Image, []byte) {
	t.Helper()
	raw := filepath.Join(t.TempDir(), "raw")
	if err := os.WriteFile(raw, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(raw, imageBytes); err != nil {
		t.Fatal(err)
	}
	must(t, "label: gpt\n14: start=2048, size=2048, type=uefi\n1: start=4096, size=90112, name=root\n", "sfdisk", "-q", raw)
	root := t.TempDir()
	noise := make([]byte, 12<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(noise)
	if err := os.WriteFile(filepath.Join(root, "noise"), noise, 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, "", "mkfs.ext4", "-q", "-F", "-d", root, "-E", "offset=2097152", raw, "44m")
	content, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z, err := zstd.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(z, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	img, err := store.Import(t.Context(), &packed, image.ImportOptions{Name: "small"})
	if err != nil {
		t.Fatal(err)
	}
	return img, content
}

// must runs a tool of the host and returns what it says.
func must(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return string(out)
}

var drive = sprout.ConfigDrive{
	MetaData: "instance-id: i-1\nlocal-hostname: web-01\n", UserData: "#cloud-config\n" + strings.Repeat("# a comment\n", 500),
	VendorData: "#cloud-config\n{}\n", NetworkConfig: "version: 2\nethernets: {}\n",
}

func writeOrder(id string, img sprout.Image, rule sprout.DiskRule) sprout.Order {
	return sprout.Order{ID: id, Kind: sprout.OrderWrite, Write: &sprout.Write{
		URL: "/images/" + img.Digest, Image: img, Disk: rule, ConfigDrive: drive, Hostname: "web-01.lon1.example",
	}}
}

// checkWritten holds a disk to what was to be written on it, with the host's
// own tools: the table, the root grown, its bytes, the config drive.
func checkWritten(t *testing.T, disk string, content []byte) {
	t.Helper()
	if out := must(t, "", "sfdisk", "--verify", disk); !strings.Contains(out, "No errors detected") {
		t.Errorf("sfdisk finds errors: %s", out)
	}
	var root, start, size int64
	for line := range strings.Lines(must(t, "", "sfdisk", "-d", disk)) {
		if !strings.Contains(line, "start=") {
			continue
		}
		var s, n int64
		if _, err := fmt.Sscanf(strings.ReplaceAll(line[strings.Index(line, "start="):], " ", ""), "start=%d,size=%d", &s, &n); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(line, `name="root"`) {
			root = s + n
		}
		if strings.Contains(line, `name="cidata"`) {
			start, size = s, n
		}
	}
	if start == 0 || root != start {
		t.Fatalf("root ends at sector %d and the config drive starts at %d", root, start)
	}
	got, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	if tail := int64(len(got)) - (start+size)*512; tail > 2<<20 || root*512 <= imageBytes {
		t.Errorf("of %d bytes root ends at %d and %d are left", len(got), root*512, tail)
	}
	if !bytes.Equal(got[34*512:imageBytes-34*512], content[34*512:imageBytes-34*512]) {
		t.Error("what is on the disk is not the image")
	}
	checkVolume(t, got[start*512:(start+size)*512], "CIDATA", noCloud)
}

// noCloud are the files of the drive.
var noCloud = map[string]string{
	"meta-data": drive.MetaData, "user-data": drive.UserData, "vendor-data": drive.VendorData, "network-config": drive.NetworkConfig,
}

// checkVolume holds a config drive to its content.
func checkVolume(t *testing.T, volume []byte, label string, files map[string]string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cidata")
	if err := os.WriteFile(file, volume, 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, "", "fsck.vfat", "-n", file)
	if out := must(t, "", "blkid", "-p", "-o", "export", file); !strings.Contains(out, "LABEL="+label+"\n") || !strings.Contains(out, "TYPE=vfat\n") {
		t.Errorf("blkid sees %s", out)
	}
	for name, want := range files {
		if got := must(t, "", "mtype", "-i", file, "::"+name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
}
