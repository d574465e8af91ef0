// Package power says what Sprout needs of a service processor. Each folder
// below is one way to have it; powertest is the contract that each passes.
package power

import (
	"context"
	"io"

	"sprout"
)

// A BootDevice is what a machine boots from at its next start.
type BootDevice string

const (
	BootNetwork BootDevice = "network"
	BootDisk    BootDevice = "disk"
	BootMedia   BootDevice = "media" // what InsertMedia put in
)

// A Provider drives the power of one machine through its BMC. Every method may
// be repeated. Errors are *sprout.Failure with one of the codes BMCUnreachable,
// BMCDenied, BMCFailed, PowerNotChanged, MediaRefused.
//
// The one provider is the governor: it makes one of each Driver below.
type Provider interface {
	// Status asks the BMC.
	Status(ctx context.Context) (sprout.PowerState, error)
	// Set turns power on or off and returns once the BMC says it is so. Off is
	// hard: the operating system is not asked.
	Set(ctx context.Context, want sprout.PowerState) error
	// BootOnce chooses the device of the next start only, and reads it back.
	BootOnce(ctx context.Context, device BootDevice, mode sprout.BootMode) error
	// InsertMedia has the BMC put the CD image at the URL into the machine, which it
	// fetches itself, in place of what is in. MediaRefused: it has no virtual CD, or
	// does not take the image. The URL is a secret: no error and no log holds it.
	InsertMedia(ctx context.Context, url string) error
	// EjectMedia takes out what is in; nothing is no error, nor is a BMC that has no
	// virtual CD.
	EjectMedia(ctx context.Context) error
	// Systems reads what the BMC tells of each machine behind it.
	Systems(ctx context.Context) ([]sprout.FoundSystem, error)
	// Console opens the machine's serial console. It lasts until it is closed or the
	// BMC ends it; what else the BMC is asked goes on meanwhile.
	Console(ctx context.Context) (io.ReadWriteCloser, error)
	// About is what is known of the BMC, without asking it.
	About() sprout.BMCAbout
	// Close ends the session with the BMC. Consoles are their own.
	Close(ctx context.Context) error
}

// A Driver speaks to one BMC in its own way: it gives orders and reads back, and
// neither waits, repeats nor compares. That is the governor's, which also has its
// calls take turns. Errors are as those of a Provider; what the BMC does as a
// task of its own has ended when the call returns.
type Driver interface {
	// Power reads the power.
	Power(ctx context.Context) (Reading, error)
	// Switch orders power on or off, hard, and returns when the BMC has accepted it.
	Switch(ctx context.Context, want sprout.PowerState) error
	// Choose orders what the next start boots from.
	Choose(ctx context.Context, device BootDevice, mode sprout.BootMode) error
	// Chosen reads back whether the next start is what Choose was last told.
	Chosen(ctx context.Context) (Reading, error)
	// Insert and Eject order a change of the virtual CD. A driver without one refuses
	// Insert as MediaRefused.
	Insert(ctx context.Context, url string) error
	Eject(ctx context.Context) error
	// Media reads whether something is in the virtual CD; a BMC without one has nothing.
	Media(ctx context.Context) (Reading, error)
	// Systems reads what the BMC tells of each machine behind it, whichever of them is
	// driven. A driver that cannot know has none.
	Systems(ctx context.Context) ([]sprout.FoundSystem, error)
	// Console opens the serial console, on a connection of its own.
	Console(ctx context.Context) (io.ReadWriteCloser, error)
	// About is what is known of the BMC, without asking it.
	About() sprout.BMCAbout
	Close(ctx context.Context) error
}

// A Reading is what a BMC says of one thing.
type Reading struct {
	Power   sprout.PowerState // of Power
	Passing bool              // of Power: it is about to change
	Yes     bool              // of Chosen: as chosen; of Media: something is in
	Says    string            // in its own words: evidence
}
