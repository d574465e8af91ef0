package fat_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sprout/fat"
)

// The tools of others find on a volume what was put there, and nothing wrong.
func TestOthersReadIt(t *testing.T) {
	large := bytes.Repeat([]byte("sprout\n"), 300_000)
	files := []fat.File{
		{Path: "EFI/BOOT/BOOTX64.EFI", Content: large},
		{Path: "EFI/BOOT/grubx64.efi", Content: []byte("grub")},
		{Path: "network-config", Content: []byte("version: 2\n")},
		{Path: "empty", Content: nil},
	}
	raw, err := fat.Volume("boot", fat.Room(files...), files...)
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(t.TempDir(), "volume")
	if err := os.WriteFile(at, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, "fsck.vfat", "-n", at)
	for _, f := range files {
		if got := tool(t, "mtype", "-i", at, "::"+f.Path); !bytes.Equal(got, f.Content) {
			t.Errorf("%s holds %d bytes, want %d", f.Path, len(got), len(f.Content))
		}
	}
}

func tool(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%v: install dosfstools and mtools", err)
	}
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
	return out
}

func TestWhatDoesNotFit(t *testing.T) {
	for name, try := range map[string]func() ([]byte, error){
		"a volume that is too small": func() ([]byte, error) { return fat.Volume("x", 1<<20) },
		"a volume that is too large": func() ([]byte, error) { return fat.Volume("x", 32<<20) },
		"a file that is too large": func() ([]byte, error) {
			return fat.Volume("x", fat.Least, fat.File{Path: "a", Content: make([]byte, fat.Least)})
		},
		"a directory that is too full": func() ([]byte, error) {
			var files []fat.File
			for i := range 20 {
				files = append(files, fat.File{Path: "D/F" + string(rune('A'+i))})
			}
			return fat.Volume("x", fat.Least, files...)
		},
	} {
		if _, err := try(); err == nil {
			t.Errorf("%s was made", name)
		}
	}
}
