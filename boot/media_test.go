package boot

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sprout"
)

var mediaIntent = sprout.Intent{Attempt: "att_1", Token: "secret-token"}

// discsOf makes media of small files.
func discsOf(t *testing.T) (*Discs, map[string][]byte) {
	t.Helper()
	dir := t.TempDir()
	files := map[string][]byte{}
	for i, name := range []string{"vmlinuz", "initrd", "shim", "grub"} {
		files[name] = bytes.Repeat([]byte(name+"\n"), 1000*(i+1)+7)
		if err := os.WriteFile(filepath.Join(dir, name), files[name], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return NewDiscs(Config{Files: dir, Shim: filepath.Join(dir, "shim"), CDGRUB: filepath.Join(dir, "grub"), Cmdline: "quiet"}), files
}

func mediaOf(t *testing.T, d *Discs) *Media {
	t.Helper()
	m, err := d.Media(mediaIntent, Static{
		MAC: "52:54:00:12:34:56", Address: netip.MustParsePrefix("10.20.0.7/24"), Gateway: netip.MustParseAddr("10.20.0.254"),
		DNS: []netip.Addr{netip.MustParseAddr("10.20.0.1"), netip.MustParseAddr("10.20.0.2")},
	}, "http://10.20.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// GRUB's own reader finds on the CD what it boots, by the names that it is told.
func TestGRUBReadsTheCD(t *testing.T) {
	if _, err := exec.LookPath("grub-fstest"); err != nil {
		t.Skipf("%v: install grub-common", err)
	}
	d, files := discsOf(t)
	at := filepath.Join(t.TempDir(), "boot.iso")
	raw, err := io.ReadAll(mediaOf(t, d))
	if err != nil || os.WriteFile(at, raw, 0o600) != nil {
		t.Fatal(err)
	}
	cat := func(name string) []byte {
		out, err := exec.CommandContext(t.Context(), "grub-fstest", at, "cat", "(loop0)"+name).Output()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return out
	}
	for _, name := range []string{"vmlinuz", "initrd"} {
		if !bytes.Equal(cat("/"+name), files[name]) {
			t.Errorf("/%s is not what was put on the CD", name)
		}
	}
	if cat("/.disk/info") == nil {
		t.Error("GRUB finds no /.disk/info, by which it tells the CD from disks")
	}
	config := string(cat("/boot/grub/grub.cfg"))
	for _, want := range []string{
		"linux /vmlinuz 'sprout.url=http://10.20.0.1' 'sprout.token=secret-token' 'BOOTIF=01-52-54-00-12-34-56' ",
		" sprout.ip=10.20.0.7/24 sprout.gateway=10.20.0.254 sprout.dns=10.20.0.1,10.20.0.2 ", "console=ttyS0 console=tty0 quiet\n",
	} {
		if !strings.Contains(config, want) {
			t.Errorf("grub.cfg lacks %q:\n%s", want, config)
		}
	}
}

// BMCs that stream a CD ask for pieces of it.
func TestPiecesMakeTheWholeCD(t *testing.T) {
	d, _ := discsOf(t)
	whole, err := io.ReadAll(mediaOf(t, d))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, mediaOf(t, d))
	}))
	defer server.Close()
	var got []byte
	const piece = 300_001
	for from := 0; from < len(whole); from += piece {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, from+piece-1))
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusPartialContent {
			t.Fatalf("%d, %v", res.StatusCode, err)
		}
		got = append(got, raw...)
	}
	if !bytes.Equal(got, whole) {
		t.Error("the pieces are not the CD")
	}
}

func TestMediaWithoutItsFiles(t *testing.T) {
	for name, want := range map[string]string{"initrd": "initrd", "shim": "apt-get install shim-signed", "grub": "grub-efi-amd64-signed"} {
		d, _ := discsOf(t)
		if err := os.Remove(filepath.Join(d.config.Files, name)); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Media(mediaIntent, Static{}, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}
