package sitestore_test

import (
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"sprout"
	"sprout/sitestore"
)

// TestRest holds a machine that waits in its ramdisk to a token that is its boot's
// alone, and ends: with the time, with other work, and with the deploy.
func TestRest(t *testing.T) {
	s := fresh(t)
	intent := func(attempt sprout.AttemptID, n string) sprout.Intent {
		return sprout.Intent{
			Machine: "mch_1", Attempt: attempt, Token: "ramdisk-" + n, HomeToken: "home-" + n, MetadataToken: "metadata-" + n,
			MediaToken: "media-" + n, ExpiresAt: time.Now().Add(time.Hour),
		}
	}
	update := func(change func(tx *bbolt.Tx) error) {
		t.Helper()
		if err := s.Update(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
	admits := func(want bool, use sitestore.Use, tokens ...string) {
		t.Helper()
		for _, token := range tokens {
			if a, err := s.Admit(token, use); want && (err != nil || a.Machine != "mch_1") {
				t.Errorf("%s is not admitted: %+v, %v", token, a, err)
			} else if !want && sprout.KindOf(err) != sprout.Denied {
				t.Errorf("%s: got %v, want denied", token, err)
			}
		}
	}
	rests := func(machine sprout.MachineID, want sprout.AttemptID) {
		t.Helper()
		if rest, ok, err := s.Resting(machine); err != nil || ok != (want != "") || rest.Attempt != want {
			t.Errorf("%s rests: %+v, %v, %v; want %q", machine, rest, ok, err, want)
		}
	}
	rest := func(attempt sprout.AttemptID, last time.Duration) {
		t.Helper()
		update(func(tx *bbolt.Tx) error {
			return s.Rest(tx, "mch_1", sprout.Rest{Attempt: attempt, Until: time.Now().Add(last), Mode: sprout.UEFI})
		})
	}

	update(func(tx *bbolt.Tx) error { return s.SetIntent(tx, intent("att_1", "1")) })
	rests("mch_1", "")
	rest("att_1", time.Hour)
	rests("mch_1", "att_1")
	rests("mch_2", "")
	if in, ok := s.Intent("mch_1"); ok {
		t.Errorf("a machine that waits and is restarted boots its disk, not %v", in)
	}
	admits(true, sitestore.RamdiskUse, "ramdisk-1")
	admits(false, sitestore.HomeUse, "home-1", "ramdisk-1")
	admits(false, sitestore.MetadataUse, "metadata-1")
	admits(false, sitestore.MediaUse, "media-1")

	// A deploy goes on in its attempt; one that has to start the machine is given a
	// token of its own.
	update(func(tx *bbolt.Tx) error { return s.SetIntent(tx, intent("att_1", "2")) })
	rests("mch_1", "")
	admits(true, sitestore.RamdiskUse, "ramdisk-1", "ramdisk-2")
	admits(true, sitestore.HomeUse, "home-2")
	update(func(tx *bbolt.Tx) error { return s.SetIntent(tx, intent("att_1", "2")) }) // the step is repeated
	admits(true, sitestore.RamdiskUse, "ramdisk-1", "ramdisk-2")
	update(func(tx *bbolt.Tx) error { return s.ClearIntent(tx, "mch_1") })
	admits(false, sitestore.RamdiskUse, "ramdisk-1", "ramdisk-2")
	admits(true, sitestore.HomeUse, "home-2")

	// Any other work ends it.
	update(func(tx *bbolt.Tx) error { return s.SetIntent(tx, intent("att_3", "3")) })
	rest("att_3", time.Hour)
	update(func(tx *bbolt.Tx) error { return s.SetIntent(tx, intent("att_4", "4")) })
	rests("mch_1", "")
	admits(false, sitestore.RamdiskUse, "ramdisk-3")
	rest("att_4", time.Hour)
	update(func(tx *bbolt.Tx) error { return s.ClearIntent(tx, "mch_1") }) // it is switched off
	rests("mch_1", "")
	admits(false, sitestore.RamdiskUse, "ramdisk-4")

	// So does its time.
	update(func(tx *bbolt.Tx) error { return s.SetIntent(tx, intent("att_5", "5")) })
	rest("att_5", -time.Second)
	rests("mch_1", "")
	admits(false, sitestore.RamdiskUse, "ramdisk-5")
	err := s.Update(t.Context(), func(tx *bbolt.Tx) error { return s.Rest(tx, "mch_1", sprout.Rest{Attempt: "att_0"}) })
	if sprout.KindOf(err) != sprout.NotFound {
		t.Errorf("an attempt that is over: %v, want not found", err)
	}
}
