// Package dhcp says what Sprout needs of a DHCP server. Each folder below is
// one way to have it; dhcptest is the contract of each, and of what the builtin
// one stands on. It knows addresses and boot files, and must not know workflows.
package dhcp

import (
	"context"

	"sprout"
)

// A Provider answers the machines of one provisioning network.
type Provider interface {
	// Serve answers until ctx ends, and returns once every goroutine of it has
	// ended: nil after ctx ended, else why it cannot serve.
	Serve(ctx context.Context) error
	// Ready is closed once packets are answered.
	Ready() <-chan struct{}
	// Explain says what a machine would get if it asked now, and why. It
	// changes nothing. Errors: Invalid (MAC), NotFound (subnet).
	Explain(q Question) (Explanation, error)
}

// A Firmware is who asks: it decides the boot file. Besides these it may be the
// number of an architecture (RFC 4578 section 2.1), as "11".
type Firmware = string

const (
	NoBoot   Firmware = ""     // an operating system: no boot file is asked for
	BIOS     Firmware = "bios" // PXE, RFC 4578 architecture 0
	UEFI     Firmware = "uefi" // PXE, RFC 4578 architecture 7
	UEFIHTTP Firmware = "http" // UEFI HTTP boot, architecture 16
	IPXE     Firmware = "ipxe" // iPXE, by its user class
)

// Firmwares lists who may ask, in the order people meet them.
var Firmwares = []Firmware{BIOS, UEFI, UEFIHTTP, IPXE, NoBoot}

// A Question is one machine that might ask for an address, and an Explanation
// what it would get, and why.
type (
	Question    = sprout.DHCPQuestion
	Explanation = sprout.DHCPExplanation
)
