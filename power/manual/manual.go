// Package manual is the power provider of machines without a BMC: a person is
// its hands. It must not know how that person is told; it only says, as the
// failure of the step, what they should do.
package manual

import (
	"context"
	"fmt"
	"io"

	"sprout"
	"sprout/power"
)

// A Driver asks a person for everything. The zero value works.
type Driver struct {
	Machine string // name, for the words
}

var _ power.Driver = Driver{}

// Power is unknown: nobody measures it.
func (d Driver) Power(context.Context) (power.Reading, error) {
	return power.Reading{Power: sprout.PowerUnknown, Says: "nothing: nobody measures it"}, nil
}

// Switch fails with PowerNotChanged, and the words for the person.
func (d Driver) Switch(_ context.Context, want sprout.PowerState) error {
	return d.ask("turn the machine "+string(want), "turn it "+string(want)+" by hand")
}

// Choose fails with BMCFailed, and the words for the person.
func (d Driver) Choose(_ context.Context, device power.BootDevice, _ sprout.BootMode) error {
	from := map[power.BootDevice]string{power.BootNetwork: "the network", power.BootDisk: "its disk", power.BootMedia: "its CD"}[device]
	if from == "" {
		return sprout.InvalidField("device", "cannot boot from %q: it must be network, disk or media", device)
	}
	f := d.ask("choose the next boot", "choose "+from+" in its boot menu at the next start")
	f.Code = sprout.BMCFailed
	return f
}

// Chosen is nothing that could be read.
func (d Driver) Chosen(context.Context) (power.Reading, error) { return power.Reading{}, nil }

// Insert fails with MediaRefused: the image is good for one boot, which no
// person would be in time for.
func (d Driver) Insert(context.Context, string) error {
	f := d.ask("insert media", "let it boot by network (sprout machine update --virtual-media=false), or give it a BMC")
	f.Code = sprout.MediaRefused
	return f
}

// Eject does nothing: nothing was inserted.
func (d Driver) Eject(context.Context) error { return nil }

// Media is nothing.
func (d Driver) Media(context.Context) (power.Reading, error) { return power.Reading{}, nil }

// Systems are none: there is nobody who would tell.
func (d Driver) Systems(context.Context) ([]sprout.FoundSystem, error) { return nil, nil }

// Console fails: there is nobody who has it.
func (d Driver) Console(context.Context) (io.ReadWriteCloser, error) {
	f := d.ask("open the console", "")
	f.Code, f.Remedy = sprout.BMCFailed, "give the machine a BMC (sprout machine update --bmc-url …), or plug a screen in"
	return nil, f
}

// About is nothing.
func (d Driver) About() sprout.BMCAbout { return sprout.BMCAbout{} }

// Close does nothing.
func (d Driver) Close(context.Context) error { return nil }

func (d Driver) ask(what, remedy string) *sprout.Failure {
	name := d.Machine
	if name == "" {
		name = "the machine"
	}
	f := sprout.Fail(sprout.PowerNotChanged, fmt.Sprintf("cannot %s: its power is manual", what), name+" has no BMC that Sprout may drive")
	f.Remedy = fmt.Sprintf("%s: %s, then retry the workflow", name, remedy)
	return f
}
