package apt_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"sprout"
	"sprout/apt"
)

// tools puts programs in the way of APT's, which tell how they are called.
func tools(t *testing.T) (called func() string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	for name, does := range map[string]string{
		"apt-get":   `case "$*" in *download*) echo >got.deb ;; esac`,
		"apt-cache": "echo Package: known",
		"dpkg-deb":  `mkdir -p "$3" && echo file >"$3/file"`,
	} {
		script := "#!/bin/sh\necho " + name + ` "$*" >>` + log + "\n" + does + "\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() string {
		raw, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
}

// Packages of this host's architecture are of its own lists; those of another are
// looked for in lists that are fetched once, and this host's stay as they are.
func TestLists(t *testing.T) {
	foreign := sprout.ARM64
	if runtime.GOARCH == string(foreign) {
		foreign = sprout.AMD64
	}
	for arch, own := range map[sprout.Architecture]bool{sprout.Architecture(runtime.GOARCH): false, foreign: true} {
		called, dir, root := tools(t), t.TempDir(), filepath.Join(t.TempDir(), "root")
		l := apt.New(arch, dir, slog.New(slog.DiscardHandler))
		if said, err := l.Show(t.Context(), "known"); err != nil || said != "Package: known\n" {
			t.Errorf("%s: %q, %v", arch, said, err)
		}
		for range 2 {
			if err := l.Unpack(t.Context(), "known", root); err != nil {
				t.Errorf("%s: %v", arch, err)
			}
		}
		if _, err := os.Stat(filepath.Join(root, "file")); err != nil {
			t.Errorf("%s: %v", arch, err)
		}
		said := called()
		if n := strings.Count(said, " update\n"); own && n != 1 || !own && n != 0 {
			t.Errorf("%s: lists are fetched %d times:\n%s", arch, n, said)
		}
		for line := range strings.Lines(said) {
			if ours := strings.Contains(line, "Dir::State::Lists="+dir+"/lists") && strings.Contains(line, "APT::Architecture="+string(arch)); strings.HasPrefix(line, "apt") && ours != own {
				t.Errorf("%s: called %s", arch, line)
			}
		}
	}
}

// What cannot be had is said with what helps.
func TestNoPackage(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "apt-get"), []byte("#!/bin/sh\necho no such package >&2; exit 100\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	err := apt.New(sprout.Architecture(runtime.GOARCH), t.TempDir(), slog.New(slog.DiscardHandler)).Unpack(t.Context(), "nowhere", t.TempDir())
	if sprout.KindOf(err) != sprout.Unavailable || !strings.Contains(err.Error(), "no such package") {
		t.Errorf("%v", err)
	}
}
