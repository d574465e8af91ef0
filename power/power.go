// Package power says what Sprout needs of a service processor. Each folder
// below is one way to have it; powertest is the contract that each passes.
package power

import (
	"context"

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
type Provider interface {
	// Status asks the BMC.
	Status(ctx context.Context) (sprout.PowerState, error)
	// Set turns power on or off and returns once the BMC says it is so. Off is
	// hard: the operating system is not asked.
	Set(ctx context.Context, want sprout.PowerState) error
	// BootOnce chooses the device of the next start only.
	BootOnce(ctx context.Context, device BootDevice, mode sprout.BootMode) error
	// InsertMedia has the BMC put the CD image at the URL into the machine, which it
	// fetches itself, in place of what is in. MediaRefused: it has no virtual CD, or
	// does not take the image. The URL is a secret: no error and no log holds it.
	InsertMedia(ctx context.Context, url string) error
	// EjectMedia takes out what is in; nothing is no error, nor is a BMC that has no
	// virtual CD.
	EjectMedia(ctx context.Context) error
	// Close ends the session with the BMC.
	Close(ctx context.Context) error
}
