package boot

import (
	"log/slog"
	"net/http"
	"time"

	"sprout"
)

// A Config says what a Handler serves.
type Config struct {
	// Ledger is what is known of the site.
	Ledger Ledger
	// URL is the agent's as machines reach it, as http://10.0.0.1:8080,
	// without a final slash. It is the base of every URL in a script.
	URL string
	// Files is the directory with vmlinuz and initrd.
	Files string
	// Loaders is the directory with undionly.kpxe and snponly.efi; empty:
	// /usr/lib/ipxe.
	Loaders string
	// Cmdline is added to the ramdisk's kernel command line; may be empty.
	Cmdline string
	// AllowUnleased also answers addresses that hold no lease or reservation:
	// for networks whose DHCP server is not Sprout's.
	AllowUnleased bool
	// Events is told what each boot was seen to do; nil: nobody is. It must
	// not block.
	Events func(sprout.BootEvent)
	// Log takes what is worth reading later, never a token; nil: nothing.
	Log *slog.Logger
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Handler serves GET and HEAD of
//
//	/boot/{mac}.ipxe                        what the machine shall do: an iPXE script
//	/boot/vmlinuz, /boot/initrd             the ramdisk, with ranges
//	/boot/undionly.kpxe, /boot/snponly.efi  the loaders, for UEFI HTTP boot
func Handler(c Config) http.Handler {
	mux := http.NewServeMux()
	return mux
}
