package lossy_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"sprout/faults/lossy"
)

const childVariable = "SPROUT_LOSSY_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		if err := write(dir); err != nil {
			panic(err)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// write syncs some of what it writes.
func write(dir string) error {
	data := filepath.Join(dir, "data")
	if err := lossy.Record(data, filepath.Join(dir, "kept")); err != nil {
		return err
	}
	var all []error
	for name, steps := range map[string][]string{
		"synced": {"one", "sync"}, "failed": {"one", "sync", "two", "fail"}, "half": {"one", "sync", "two"}, "never": {"one"}, "twice": {"one", "sync", "two", "sync"},
	} {
		f, err := os.Create(filepath.Join(data, name+".new"))
		all = append(all, err)
		for _, step := range steps {
			switch step {
			case "sync":
				all = append(all, f.Sync())
			case "fail":
				all = append(all, lossy.FailAt(filepath.Join(dir, "kept"), 1, "failed*"))
				if err := f.Sync(); !errors.Is(err, syscall.EIO) {
					all = append(all, fmt.Errorf("a sync that is to fail: %w", err))
				}
			default:
				_, err := f.WriteString(step)
				all = append(all, err)
			}
		}
		all = append(all, f.Close(), os.Rename(f.Name(), filepath.Join(data, name)))
	}
	return errors.Join(all...)
}

// What was synced is there afterwards, also under a new name; the rest is not.
func TestUnsyncedWritesAreLost(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if lost, err := lossy.Drop(data, filepath.Join(dir, "kept")); err != nil || len(lost) != 3 {
		t.Errorf("%v lost something, %v", lost, err)
	}
	for name, want := range map[string]string{"synced": "one", "half": "one", "failed": "one", "never": "", "twice": "onetwo"} {
		if got, err := os.ReadFile(filepath.Join(data, name)); err != nil || string(got) != want {
			t.Errorf("%s holds %q, want %q (%v)", name, got, want, err)
		}
	}
}
