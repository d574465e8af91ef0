// Package manual is the power provider of machines without a BMC: a person is
// its hands. It must not know how that person is told; it only says, as the
// failure of the step, what they should do.
package manual

import (
	"context"
	"fmt"

	"sprout"
	"sprout/power"
)

// A Provider asks a person for everything. The zero value works.
type Provider struct {
	Machine string // name, for the words
}

var _ power.Provider = Provider{}

// Status is unknown: nobody measures it.
func (p Provider) Status(context.Context) (sprout.PowerState, error) {
	return sprout.PowerUnknown, nil
}

// Set fails with PowerNotChanged, and the words for the person.
func (p Provider) Set(_ context.Context, want sprout.PowerState) error {
	if want != sprout.PowerOn && want != sprout.PowerOff {
		return sprout.InvalidField("power", "cannot set power to %q: it must be on or off", want)
	}
	return p.ask("turn the machine "+string(want), "turn it "+string(want)+" by hand")
}

// BootOnce fails with BMCFailed, and the words for the person.
func (p Provider) BootOnce(_ context.Context, device power.BootDevice, _ sprout.BootMode) error {
	from := map[power.BootDevice]string{power.BootNetwork: "the network", power.BootDisk: "its disk", power.BootMedia: "its CD"}[device]
	if from == "" {
		return sprout.InvalidField("device", "cannot boot from %q: it must be network, disk or media", device)
	}
	f := p.ask("choose the next boot", "choose "+from+" in its boot menu at the next start")
	f.Code = sprout.BMCFailed
	return f
}

// InsertMedia fails with MediaRefused: the image is good for one boot, which no
// person would be in time for.
func (p Provider) InsertMedia(context.Context, string) error {
	f := p.ask("insert media", "let it boot by network (sprout machine update --virtual-media=false), or give it a BMC")
	f.Code = sprout.MediaRefused
	return f
}

// EjectMedia does nothing: nothing was inserted.
func (p Provider) EjectMedia(context.Context) error { return nil }

// Close does nothing.
func (p Provider) Close(context.Context) error { return nil }

func (p Provider) ask(what, remedy string) *sprout.Failure {
	name := p.Machine
	if name == "" {
		name = "the machine"
	}
	f := sprout.Fail(sprout.PowerNotChanged, fmt.Sprintf("cannot %s: its power is manual", what), name+" has no BMC that Sprout may drive")
	f.Remedy = fmt.Sprintf("%s: %s, then retry the workflow", name, remedy)
	return f
}
