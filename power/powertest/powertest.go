// Package powertest is the contract of power.Provider: what each one promises,
// run against a machine whose power can be seen.
package powertest

import (
	"context"
	"errors"
	"slices"
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
	// normal order.
	Boots func() []power.BootDevice
	// Mode is a boot mode that the machine has.
	Mode sprout.BootMode
}

// codes are the failures that a provider may report.
var codes = []sprout.Code{sprout.BMCUnreachable, sprout.BMCDenied, sprout.BMCFailed, sprout.PowerNotChanged}

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
	t.Run("a boot device is good for one start", func(t *testing.T) { bootsOnce(t, open(t)) })
	t.Run("calls at once take turns", func(t *testing.T) { atOnce(t, open(t)) })
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

func needsHands(t *testing.T, r Rig) {
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
