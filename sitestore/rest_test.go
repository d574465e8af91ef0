package sitestore_test

import (
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"sprout"
	"sprout/sitestore"
)

// A ramdisk that waits keeps its token and nothing else: until its time is over, or the
// machine's next boot attempt, unless that is its own going on.
func TestRest(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "site.db"))
	update := func(do func(tx *bbolt.Tx) error) {
		t.Helper()
		if err := s.Update(t.Context(), do); err != nil {
			t.Fatal(err)
		}
	}
	good := func(token string, use sitestore.Use) bool {
		_, err := s.Admit(token, use)
		return err == nil
	}
	intent := func(attempt sprout.AttemptID, n string) sprout.Intent {
		return sprout.Intent{Machine: "mch_1", Attempt: attempt, Purpose: "deploy", Token: "ramdisk" + n, HomeToken: "home" + n, MetadataToken: "metadata" + n, ExpiresAt: time.Now().Add(time.Hour)}
	}
	update(func(tx *bbolt.Tx) error { return s.SetIntent(tx, intent("att_1", "1")) })
	rest := sprout.Rest{Attempt: "att_1", Until: time.Now().Add(2 * time.Hour).UTC(), Mode: sprout.UEFI}
	update(func(tx *bbolt.Tx) error { return s.Rest(tx, "mch_1", rest) })
	if got, ok, err := s.Resting("mch_1"); err != nil || !ok || got != rest {
		t.Errorf("it rests: %+v %v %v", got, ok, err)
	}
	if _, ok := s.Intent("mch_1"); ok || !good("ramdisk1", sitestore.RamdiskUse) || good("home1", sitestore.HomeUse) || good("metadata1", sitestore.MetadataUse) {
		t.Error("a machine that waits has more than its ramdisk's token, or not that")
	}

	// Its own attempt goes on, with another token beside the old.
	update(func(tx *bbolt.Tx) error { return s.SetIntent(tx, intent("att_1", "2")) })
	if _, ok, _ := s.Resting("mch_1"); ok || !good("ramdisk1", sitestore.RamdiskUse) || !good("ramdisk2", sitestore.RamdiskUse) || !good("home2", sitestore.HomeUse) || good("home1", sitestore.HomeUse) {
		t.Error("the attempt does not go on with the ramdisk that waited")
	}
	update(func(tx *bbolt.Tx) error { return s.ClearIntent(tx, "mch_1") })
	if good("ramdisk1", sitestore.RamdiskUse) || good("ramdisk2", sitestore.RamdiskUse) {
		t.Error("a token outlives the intent")
	}

	// Another attempt ends the waiting, and so does time.
	update(func(tx *bbolt.Tx) error { return s.SetIntent(tx, intent("att_3", "3")) })
	rest.Attempt = "att_3"
	update(func(tx *bbolt.Tx) error { return s.Rest(tx, "mch_1", rest) })
	update(func(tx *bbolt.Tx) error { return s.SetIntent(tx, intent("att_4", "4")) })
	if _, ok, _ := s.Resting("mch_1"); ok || good("ramdisk3", sitestore.RamdiskUse) {
		t.Error("it waits though it was started anew")
	}
	rest.Attempt, rest.Until = "att_4", time.Now().Add(-time.Second)
	update(func(tx *bbolt.Tx) error { return s.Rest(tx, "mch_1", rest) })
	if _, ok, _ := s.Resting("mch_1"); ok || good("ramdisk4", sitestore.RamdiskUse) {
		t.Error("it waits though its time is over")
	}
	rest.Attempt = "att_9"
	if err := s.Update(t.Context(), func(tx *bbolt.Tx) error { return s.Rest(tx, "mch_1", rest) }); sprout.KindOf(err) != sprout.NotFound {
		t.Errorf("an attempt that is over rests: %v", err)
	}
}
