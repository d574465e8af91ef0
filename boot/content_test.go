package boot_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func digest(content string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(content))) }

// TestARamdiskIsOfOnePiece: what a script names by what it holds is served as long as
// it holds that. A ramdisk that was replaced since is refused, and the script names
// the new one.
func TestARamdiskIsOfOnePiece(t *testing.T) {
	r := handler(t)
	script := func() string { return r.do("GET", "/boot/52-54-00-00-00-01.ipxe", "10.0.0.5").Body.String() }
	old := "/boot/" + digest("the kernel") + "/vmlinuz"
	if s := script(); !strings.Contains(s, old+" ") {
		t.Fatalf("no %s in\n%s", old, s)
	}
	r.events = nil
	w := r.do("GET", old, "10.0.0.101")
	if w.Code != http.StatusOK || w.Body.String() != "the kernel" || w.Header().Get("ETag") != `"`+digest("the kernel")+`"` {
		t.Errorf("%d %q, %v", w.Code, w.Body, w.Header())
	}
	if w := r.do("GET", "/boot/"+digest("the arm64 initrd")+"/arm64/initrd", "10.0.0.101", "Range", "bytes=4-8"); w.Code != http.StatusPartialContent || w.Body.String() != "arm64" {
		t.Errorf("a range: %d %q", w.Code, w.Body)
	}
	if want := []string{db01 + " http-vmlinuz whole, in 0.0 s", db01 + " http-initrd 5 of 16 bytes, in 0.0 s"}; !slices.Equal(r.events, want) {
		t.Errorf("told %q", r.events)
	}
	for _, path := range []string{"/boot/" + digest("the initrd") + "/vmlinuz", "/boot/x/vmlinuz", "/boot/" + digest("no") + "/secret"} {
		if w := r.do("GET", path, "10.0.0.101"); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d %q", path, w.Code, w.Body)
		}
	}
	if err := os.WriteFile(filepath.Join(r.files, "vmlinuz"), []byte("the new kernel"), 0o600); err != nil {
		t.Fatal(err)
	}
	if w := r.do("GET", old, "10.0.0.101"); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "was replaced") {
		t.Errorf("the old kernel: %d %q", w.Code, w.Body)
	}
	if s := script(); !strings.Contains(s, "/boot/"+digest("the new kernel")+"/vmlinuz ") {
		t.Errorf("the new kernel is not named in\n%s", s)
	}
	if err := os.Remove(filepath.Join(r.files, "vmlinuz")); err != nil {
		t.Fatal(err)
	}
	if s := script(); !strings.Contains(s, "/boot/vmlinuz ") {
		t.Errorf("what is not there is not asked for:\n%s", s)
	}
	if w := r.do("GET", old, "10.0.0.101"); w.Code != http.StatusNotFound || !strings.Contains(r.log.String(), "a boot file is missing") {
		t.Errorf("no kernel: %d %q", w.Code, w.Body)
	}
}
