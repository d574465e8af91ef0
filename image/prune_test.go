package image_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sprout/image"
)

// What imports left that were killed long ago is listed and goes; one that is under way
// stays, however long it stalls, and so does what is young.
func TestLeftoversOfImports(t *testing.T) {
	dir := t.TempDir()
	s, err := image.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, "partial", name) }
	if err := os.Mkdir(in("qcow2-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"import-1", "pull-1", "pull-1.tag", "qcow2-1/raw", "young"} {
		if err := os.WriteFile(in(name), []byte("left"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "sha256", "README"), nil, 0o600); err != nil { // nobody knows whose
		t.Fatal(err)
	}
	r, w := io.Pipe()
	ended := make(chan error)
	go func() {
		_, err := s.Import(t.Context(), r, image.ImportOptions{Name: "slow"})
		ended <- err
	}()
	for _, part := range []string{strings.Repeat("s", 4<<20), ""} { // once it reads on, what it took is in the file
		if _, err := io.WriteString(w, part); err != nil {
			t.Fatal(err)
		}
	}
	all, err := filepath.Glob(in("*"))
	if err != nil || len(all) != 6 {
		t.Fatalf("%v, %v", all, err)
	}
	old := time.Now().Add(-25 * time.Hour)
	for _, name := range all {
		if filepath.Base(name) != "young" {
			if err := os.Chtimes(name, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	left, err := s.Files()
	if err != nil || len(left) != 5 {
		t.Fatalf("%+v, %v", left, err)
	}
	for _, part := range left {
		if part.Bytes < 4 {
			t.Errorf("%s has %d bytes", part.Name, part.Bytes)
		}
		if err := s.Forget(part); err != nil {
			t.Error(err)
		}
	}
	if now, err := filepath.Glob(in("*")); err != nil || len(now) != 2 {
		t.Errorf("there are %v, %v", now, err)
	}
	_ = w.Close()
	if err := <-ended; err != nil {
		t.Errorf("an import under way: %v", err)
	}
}
