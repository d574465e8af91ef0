// Package powertest is the contract of power.Provider: what each one promises,
// run against a machine whose power can be seen.
package powertest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/power"
)

// A Rig is a provider and the machine that it drives.
type Rig struct {
	Provider power.Provider
	// Power says what the machine really does; nil where no machine follows
	// (the manual provider): then Set and BootOnce must fail and say why.
	Power func() sprout.PowerState
	// Boots lists what the machine booted from at each start so far; "" is its
	// normal order. It is left out of a machine that starts nothing (an emulator
	// without one behind): then Next is what its BMC has in mind for the next start.
	Boots func() []power.BootDevice
	Next  func() (power.BootDevice, sprout.BootMode)
	// Image is a URL whose image the machine takes, and Inserted what is in its
	// drive: empty where nothing is. Both are left out where Power is, and where
	// there is no virtual CD.
	Image    string
	Inserted func() string
	// Mode is a boot mode that the machine has.
	Mode sprout.BootMode
}

// codes are the failures that a provider may report.
var codes = []sprout.Code{sprout.BMCUnreachable, sprout.BMCDenied, sprout.BMCFailed, sprout.PowerNotChanged, sprout.MediaRefused}

// Run holds a provider to the contract. open makes a fresh one, with its
// machine off.
func Run(t *testing.T, open func(t *testing.T) Rig) {
	t.Helper()
	for _, clause := range []struct {
		name string
		test func(*testing.T, Rig)
	}{
		{"an unknown wish is invalid", unknownWish},
		{"an ended context ends the call", endedContext},
		{"close may be repeated", closeTwice},
	} {
		t.Run(clause.name, func(t *testing.T) { clause.test(t, open(t)) })
	}
	if open(t).Power == nil {
		t.Run("what needs hands fails and says so", func(t *testing.T) { needsHands(t, open(t)) })
		return
	}
	t.Run("power follows, and may be set again", func(t *testing.T) { follows(t, open(t)) })
	if open(t).Boots != nil {
		t.Run("a boot device is good for one start", func(t *testing.T) { bootsOnce(t, open(t)) })
		t.Run("calls at once take turns", func(t *testing.T) { atOnce(t, open(t)) })
	} else {
		t.Run("a boot device is kept for the next start", func(t *testing.T) { keepsNext(t, open(t)) })
	}
	if open(t).Image == "" {
		t.Run("what has no virtual CD says so", func(t *testing.T) { noMedia(t, open(t)) })
		return
	}
	t.Run("media go in and out, and again", func(t *testing.T) { insertsMedia(t, open(t)) })
	t.Run("media that cannot be had are refused", func(t *testing.T) { refusesMedia(t, open(t)) })
}

func unknownWish(t *testing.T, r Rig) {
	if err := r.Provider.Set(t.Context(), sprout.PowerUnknown); sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("Set(unknown) = %v, want an invalid error", err)
	}
	if err := r.Provider.BootOnce(t.Context(), "floppy", r.Mode); sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("BootOnce(floppy) = %v, want an invalid error", err)
	}
}

func endedContext(t *testing.T, r Rig) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = isFailure(t, r.Provider.Set(ctx, sprout.PowerOn))
	_ = isFailure(t, r.Provider.BootOnce(ctx, power.BootNetwork, r.Mode))
	_ = isFailure(t, r.Provider.InsertMedia(ctx, r.Image))
	if r.Power != nil && r.Power() != sprout.PowerOff {
		t.Error("the machine is on after a call that was cancelled before it began")
	}
}

func closeTwice(t *testing.T, r Rig) {
	for range 2 {
		if _, err := r.Provider.Status(t.Context()); err != nil {
			t.Fatalf("Status: %v", err)
		}
		for range 2 {
			if err := r.Provider.Close(t.Context()); err != nil {
				t.Fatalf("Close: %v", err)
			}
		}
	}
}

func noMedia(t *testing.T, r Rig) {
	if f := isFailure(t, r.Provider.InsertMedia(t.Context(), "http://10.0.0.1/boot.iso")); f != nil && (f.Remedy == "" || f.Code != sprout.MediaRefused) {
		t.Errorf("InsertMedia does not say what to do: %v", f)
	}
	must(t, r.Provider.EjectMedia(t.Context()))
}

func needsHands(t *testing.T, r Rig) {
	noMedia(t, r)
	state, err := r.Provider.Status(t.Context())
	if state != sprout.PowerUnknown || err != nil {
		t.Errorf("Status = %s, %v; want unknown", state, err)
	}
	for _, want := range []sprout.PowerState{sprout.PowerOn, sprout.PowerOff} {
		if f := isFailure(t, r.Provider.Set(t.Context(), want)); f != nil && f.Remedy == "" {
			t.Errorf("Set(%s) does not say what to do: %v", want, f)
		}
	}
}

func insertsMedia(t *testing.T, r Rig) {
	must(t, r.Provider.EjectMedia(t.Context())) // of a drive that is empty
	for range 2 {                               // the second in place of the first
		must(t, r.Provider.InsertMedia(t.Context(), r.Image))
		if in := r.Inserted(); in != r.Image {
			t.Fatalf("the drive holds %q, want %q", in, r.Image)
		}
	}
	must(t, r.Provider.BootOnce(t.Context(), power.BootMedia, r.Mode))
	must(t, r.Provider.Set(t.Context(), sprout.PowerOn))
	if r.Boots == nil {
		if next, _ := r.Next(); next != power.BootMedia {
			t.Errorf("the machine would boot from %q, want its media", next)
		}
	} else if got := r.Boots(); !slices.Equal(got, []power.BootDevice{power.BootMedia}) {
		t.Errorf("the machine booted from %q, want its media", got)
	}
	for range 2 {
		must(t, r.Provider.EjectMedia(t.Context()))
		if in := r.Inserted(); in != "" {
			t.Fatalf("the drive holds %q after the eject", in)
		}
	}
}

func refusesMedia(t *testing.T, r Rig) {
	f := isFailure(t, r.Provider.InsertMedia(t.Context(), r.Image+"/secret-token/none.iso"))
	if f == nil {
		return
	}
	if f.Code != sprout.MediaRefused || strings.Contains(f.Reason+f.Evidence+f.Remedy, "secret-token") {
		t.Errorf("failure %+v, want media-refused without the URL", *f)
	}
	if in := r.Inserted(); in != "" {
		t.Errorf("the drive holds %q after a refusal", in)
	}
}

func follows(t *testing.T, r Rig) {
	for _, want := range []sprout.PowerState{sprout.PowerOff, sprout.PowerOn, sprout.PowerOn, sprout.PowerOff, sprout.PowerOff} {
		if err := r.Provider.Set(t.Context(), want); err != nil {
			t.Fatalf("Set(%s): %v", want, err)
		}
		if is := r.Power(); is != want {
			t.Fatalf("after Set(%s) the machine is %s", want, is)
		}
		if said, err := r.Provider.Status(t.Context()); said != want || err != nil {
			t.Fatalf("after Set(%s) Status = %s, %v", want, said, err)
		}
	}
}

func bootsOnce(t *testing.T, r Rig) {
	for _, device := range []power.BootDevice{power.BootNetwork, power.BootDisk} {
		before := len(r.Boots())
		for range 2 {
			must(t, r.Provider.BootOnce(t.Context(), device, r.Mode))
		}
		must(t, r.Provider.Set(t.Context(), sprout.PowerOn))
		must(t, r.Provider.Set(t.Context(), sprout.PowerOff))
		must(t, r.Provider.Set(t.Context(), sprout.PowerOn))
		must(t, r.Provider.Set(t.Context(), sprout.PowerOff))
		if got, want := r.Boots()[before:], []power.BootDevice{device, ""}; !slices.Equal(got, want) {
			t.Errorf("two starts booted from %q, want %q", got, want)
		}
	}
}

func keepsNext(t *testing.T, r Rig) {
	for _, want := range []power.BootDevice{power.BootNetwork, power.BootDisk} {
		must(t, r.Provider.BootOnce(t.Context(), want, r.Mode))
		if device, mode := r.Next(); device != want || mode != r.Mode {
			t.Errorf("the next start is from %q by %s, want %q by %s", device, mode, want, r.Mode)
		}
	}
}

func atOnce(t *testing.T, r Rig) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const n = 8
	errs := make(chan error, n)
	for range n {
		go func() { errs <- r.Provider.Set(ctx, sprout.PowerOn) }()
	}
	for range n {
		must(t, <-errs)
	}
	if starts := len(r.Boots()); starts != 1 {
		t.Errorf("%d calls at once started the machine %d times, want once", n, starts)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// isFailure checks that err is a failure with one of the contract's codes.
func isFailure(t *testing.T, err error) *sprout.Failure {
	t.Helper()
	var f *sprout.Failure
	if !errors.As(err, &f) {
		t.Errorf("error is %v (%T), want a *sprout.Failure", err, err)
		return nil
	}
	if !slices.Contains(codes, f.Code) || f.Reason == "" || f.Evidence == "" {
		t.Errorf("failure %+v, want one of %v with reason and evidence", *f, codes)
	}
	return f
}
