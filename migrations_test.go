package sprout_test

import (
	"path/filepath"
	"testing"
)

// No two migrations have one number: no database would start.
func TestMigrationsAreNumberedOnce(t *testing.T) {
	files, err := filepath.Glob("store/migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no migrations found: %v", err)
	}
	had := map[string]string{}
	for _, f := range files {
		name := filepath.Base(f)
		if other := had[name[:4]]; other != "" {
			t.Errorf("%s and %s have one number: give the later the next free one", other, name)
		}
		had[name[:4]] = name
	}
}
