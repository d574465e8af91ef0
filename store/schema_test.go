package store_test

import (
	"flag"
	"os"
	"testing"

	"sprout/store/storetest"
)

var update = flag.Bool("update", false, "write schema.sql anew")

// TestSchemaIsTheDump holds schema.sql to what the migrations make. Refresh it
// with: make generate.
func TestSchemaIsTheDump(t *testing.T) {
	got, err := storetest.Dump(t.Context(), storetest.NewURL(t))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("schema.sql", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Error("schema.sql is not what the migrations make: run `make generate`")
	}
}
