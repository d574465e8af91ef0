package sitestore_test

import (
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"sprout"
)

// What a ramdisk has done of an order to test outlives the agent, and ends with the
// order's report; what is of another order is passed over.
func TestKeptTests(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.db")
	s := open(t, path)
	do := func(change func(tx *bbolt.Tx) error) {
		t.Helper()
		if err := s.Update(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
	mark := func(order, words string) func(tx *bbolt.Tx) error {
		return func(tx *bbolt.Tx) error {
			return s.KeepTests(tx, "att_1", sprout.Report{Order: order, Outcome: "progress", Marks: []sprout.TestMark{{Test: "burn", Device: "vda", Mark: words}}})
		}
	}
	do(func(tx *bbolt.Tx) error { return s.Give(tx, "att_1", sprout.Order{ID: "1", Kind: sprout.OrderTest}) })
	do(mark("1", "1 of 3\n"))
	do(mark("0", "9 of 9\n"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	defer s.Close() //nolint:errcheck // the test is over
	given, ok, err := s.Order("att_1")
	if err != nil || !ok || given.Done.Mark("burn", "vda", "") != "1 of 3\n" {
		t.Fatalf("after a restart there is %+v: %v", given, err)
	}
	do(func(tx *bbolt.Tx) error {
		_, err := s.Answer(tx, "att_1", sprout.Report{Order: "1", Outcome: "done"})
		return err
	})
	do(mark("1", "2 of 3\n"))
	if given, _, err = s.Order("att_1"); err != nil || given.Done != nil {
		t.Errorf("after the report there is %+v: %v", given.Done, err)
	}
}
