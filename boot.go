package sprout

import (
	"net"
	"net/netip"
	"path"
	"strings"
	"time"
)

// A BootEvent is one thing that a boot attempt was seen to do, or that was done
// to it.
type BootEvent struct {
	At      time.Time  `json:"at,omitzero"`
	Attempt AttemptID  `json:"attempt,omitempty"`
	Machine MachineID  `json:"machine,omitempty" doc:"Empty: not known when it happened"`
	MAC     string     `json:"mac,omitempty" doc:"Of the port that was seen"`
	What    string     `json:"what" example:"dhcp-offer"`
	Detail  string     `json:"detail" doc:"What happened, and why, in words"`
	From    netip.Addr `json:"from,omitzero" doc:"Who sent it: the machine or its relay"`
	IP      netip.Addr `json:"ip,omitzero" doc:"The address that was offered, given or refused, or the other DHCP server"`
	Client  string     `json:"client,omitempty" doc:"Who asks in the machine: pxe-N or http-N (firmware of architecture N, RFC 4578), ipxe or system" example:"pxe-7"`
	File    string     `json:"file,omitempty" doc:"The file or order that it is about" example:"snponly.efi"`
	Bytes   int64      `json:"bytes,omitempty" doc:"Sent and, by TFTP, acknowledged"`
	Size    int64      `json:"size,omitempty" doc:"Bytes of the whole file"`
	Seconds float64    `json:"seconds,omitempty"`
	Code    Code       `json:"code,omitempty" doc:"Why it failed"`
	Count   int        `json:"count,omitempty" doc:"How often the same was seen so far, where that is more than three times"`
}

// What a BootEvent is. A file that was fetched is tftp- and how that ended, or
// http- and the file's name.
const (
	SawPowerOn     = "power-on"     // the BMC was told to; Code where it refused
	SawPowerOff    = "power-off"    // the BMC was told to; Code where it refused
	SawBootDevice  = "boot-device"  // the BMC was told what to boot next
	SawInsertMedia = "insert-media" // the BMC was told to; Code where it refused
	SawEjectMedia  = "eject-media"  // the BMC was told to; Code where it refused
	SawMedia       = "http-media"   // the BMC fetched what the machine boots, or a piece of it
	SawDiscover    = "dhcp-discover"
	SawOffer       = "dhcp-offer"
	SawRequest     = "dhcp-request"
	SawAck         = "dhcp-ack"
	SawNak         = "dhcp-nak"
	SawDecline     = "dhcp-decline"
	SawFull        = "dhcp-full"         // there is no address for it
	SawDHCPOff     = "dhcp-off"          // it asks in a subnet where the agent answers no DHCP
	SawOtherServer = "dhcp-other-server" // it takes the offer of IP
	SawTFTPDone    = "tftp-done"
	SawTFTPTimeout = "tftp-timeout"
	SawScript      = "http-script"         // it is told to boot the ramdisk, by HTTP or in GRUB's words by TFTP
	SawScriptDisk  = "http-script-disk"    // it is told to boot its disk
	SawRefused     = "http-script-refused" // it is told nothing
	SawKernel      = "http-vmlinuz"
	SawInitrd      = "http-initrd"
	SawImage       = "http-image"
	SawWait        = "image-wait" // for its turn to download
	SawHello       = "ramdisk-hello"
	SawStranger    = "ramdisk-refused" // its token is not good
	SawOrder       = "order-given"
	SawOrderDone   = "order-done"
	SawOrderFailed = "order-failed"
	SawConsole     = "console" // the machine's kernel warned, or its serial console said so
	SawMetadata    = "http-metadata"
	SawHome        = "phone-home"
)

// A BootAttempt is one power-on of a machine to its end. Where no work asked for
// it, it is what was seen between one start of the firmware and the next.
type BootAttempt struct {
	ID        AttemptID   `json:"id"`
	Site      SiteID      `json:"site"`
	Machine   MachineID   `json:"machine,omitempty"`
	MAC       string      `json:"mac,omitempty" doc:"Of the port that was seen first"`
	StartedAt time.Time   `json:"startedAt"`
	LastAt    time.Time   `json:"lastAt"`
	Seen      int         `json:"seen" doc:"Events seen; only the newest are kept"`
	Last      string      `json:"last" doc:"What was seen last" example:"http-initrd"`
	Events    []BootEvent `json:"events,omitempty" doc:"The oldest first"`
}

// The longest words of an event, in bytes. Much of them is said by machines that
// nobody vouches for.
const (
	longestDetail = 400
	longestWord   = 128
)

// Fetched tells whether the event is of the file that what is of, SawKernel or
// SawInitrd: by HTTP, or by TFTP whole, as GRUB fetches it. That of arm64 is in a
// directory of its own.
func (e BootEvent) Fetched(what string) bool {
	return e.What == what || e.What == SawTFTPDone && path.Base(e.File) == strings.TrimPrefix(what, "http-")
}

// Clean returns the event without what could not be kept or shown: control
// characters, words without end, a MAC that is none.
func (e BootEvent) Clean() BootEvent {
	if mac, err := net.ParseMAC(e.MAC); err != nil || len(mac) != 6 {
		e.MAC = ""
	}
	e.Detail = clean(e.Detail, longestDetail)
	for _, word := range []*string{&e.What, &e.Client, &e.File, (*string)(&e.Code), (*string)(&e.Attempt), (*string)(&e.Machine)} {
		*word = clean(*word, longestWord)
	}
	return e
}

func clean(s string, longest int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "…"
	}
	return s
}
