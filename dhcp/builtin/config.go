package builtin

import (
	"log/slog"
	"net/netip"
	"time"

	"sprout"
)

// A Config says where and for whom a Server answers.
type Config struct {
	// Interface is the network device of the provisioning network. Empty:
	// answer relays only, on Address.
	Interface string
	// Address is the agent's on the provisioning network: server identifier,
	// next server, and name server where a subnet names none.
	Address netip.Addr
	// Port is the UDP port of the server; 0: 67.
	Port uint16
	// ClientPort is the UDP port of clients; 0: 68.
	ClientPort uint16
	// BootPort is the UDP port of boot servers, at which firmware asks a proxy
	// once more what to boot (PXE 2.1); 0: 4011 where Port is 67, else none.
	BootPort uint16
	// VRF is the one that Address is in, where prefixes of two overlap; empty: the
	// site's usual one.
	VRF string
	// Ledger is what is known of the site.
	Ledger Ledger
	// BootURL is where boot.Handler serves, as http://10.0.0.1:8080; empty:
	// http://Address.
	BootURL string
	// Loaders is the table from firmware to boot file; nil: DefaultLoaders.
	Loaders []Loader
	// Domain returns the domain of the site's machines; nil or "": none.
	Domain func() string
	// LeaseTime is how long an address is given for; 0: 10 minutes.
	LeaseTime time.Duration
	// Log takes what is worth reading later; nil: nothing is logged.
	Log *slog.Logger
	// Events is told what each boot was seen to do; nil: nobody is. It is
	// called by the server and must not block.
	Events func(sprout.BootEvent)
	// Others is told of each server whose offer a client takes in place of ours;
	// nil: nobody is. It must not block.
	Others func(server netip.Addr)
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// A Loader is one row from what a firmware says it is to what it shall load.
type Loader struct {
	Arch uint16 // RFC 4578 section 2.1 and the IANA registry of processor architectures
	HTTP bool   // fetched by URL from the agent, not by TFTP
	File string // its name in the agent's boot files
	// Signed is the same for a machine that enforces Secure Boot; empty: there is
	// none that it would run to the end.
	Signed string
	Name   string // what people call such a firmware
}

// For is the file that the firmware of a machine loads; empty: none.
func (l Loader) For(secureBoot bool) string {
	if secureBoot {
		return l.Signed
	}
	return l.File
}

// NotSigned is why a machine that enforces Secure Boot is given nothing.
func (l Loader) NotSigned() string {
	return "no boot file: there is no signed loader for " + l.Name + ", and Secure Boot refuses any other"
}

// DefaultLoaders are the boot files of Debian's package ipxe, and where Secure Boot is
// enforced of shim-signed, which runs Debian's signed GRUB: that cannot fetch by HTTP.
// For arm64 there is no iPXE, so that GRUB does it all. BIOS knows no Secure Boot.
var DefaultLoaders = []Loader{
	{Arch: 0, File: "undionly.kpxe", Signed: "undionly.kpxe", Name: "x86 BIOS"},
	{Arch: 7, File: "snponly.efi", Signed: "shimx64.efi", Name: "x86-64 UEFI"},
	{Arch: 9, File: "snponly.efi", Signed: "shimx64.efi", Name: "x86-64 UEFI"},
	{Arch: 16, HTTP: true, File: "snponly.efi", Name: "x86-64 UEFI HTTP"},
	{Arch: 11, File: "grubaa64.efi", Signed: "shimaa64.efi", Name: "arm64 UEFI"},
}
