package boot

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
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
	// URL6 is the same for machines that ask over IPv6; empty: URL.
	URL6 string
	// Files is the directory with vmlinuz and initrd; below it arm64 has those of
	// arm64, and shimaa64.efi and grubaa64.efi.
	Files string
	// Loaders is the directory with undionly.kpxe and snponly.efi; empty:
	// /usr/lib/ipxe.
	Loaders string
	// Shim and GRUB are the files that machines with Secure Boot get as
	// shimx64.efi and grubx64.efi; empty: DefaultShim and DefaultGRUB.
	Shim, GRUB string
	// CDGRUB is the GRUB of virtual media; empty: DefaultCDGRUB.
	CDGRUB string
	// Cmdline is added to the ramdisk's kernel command line; may be empty.
	Cmdline string
	// AllowUnleased also answers addresses that hold no lease or reservation:
	// for networks whose DHCP server is not Sprout's.
	AllowUnleased bool
	// Neighbour returns the MAC that has an address on the agent's own link, empty of
	// one that is on no such link; an error: it cannot be known, and nothing is
	// served. nil: machines have no link, as where they are simulated.
	Neighbour func(ctx context.Context, ip netip.Addr) (string, error)
	// Events is told what each boot was seen to do; nil: nobody is. It must
	// not block.
	Events func(sprout.BootEvent)
	// Log takes what is worth reading later, never a token; nil: nothing.
	Log *slog.Logger
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// DefaultLoaders is where Debian's package ipxe puts its files.
const DefaultLoaders = "/usr/lib/ipxe"

// LoaderFiles are the names of the loaders, over HTTP and TFTP.
var LoaderFiles = []string{"undionly.kpxe", "snponly.efi"}

// Handler serves GET and HEAD of
//
//	/boot/{mac}.ipxe                        what the machine shall do: an iPXE script
//	/boot/vmlinuz, /boot/initrd             the ramdisk, with ranges; below /boot/arm64 that of arm64
//	/boot/{digest}/vmlinuz …                the same, as long as it holds what has that SHA-256
//	/boot/undionly.kpxe, /boot/snponly.efi  the loaders, for UEFI HTTP boot
func Handler(c Config) http.Handler {
	h := &handler{Config: c.withDefaults()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /boot/{script}", h.script)
	for _, name := range ramdiskFiles {
		mux.HandleFunc("GET /boot/"+name, h.file(filepath.Join(h.Files, name)))
		mux.HandleFunc("GET /boot/{digest}/"+name, h.addressed(name))
	}
	for _, name := range LoaderFiles {
		mux.HandleFunc("GET /boot/"+name, h.file(filepath.Join(h.Loaders, name)))
	}
	return mux
}

func (c Config) withDefaults() Config {
	c.Loaders, c.Shim, c.GRUB = cmp.Or(c.Loaders, DefaultLoaders), cmp.Or(c.Shim, DefaultShim), cmp.Or(c.GRUB, DefaultGRUB)
	c.CDGRUB = cmp.Or(c.CDGRUB, DefaultCDGRUB)
	if c.Events == nil {
		c.Events = func(sprout.BootEvent) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

type handler struct {
	Config
	contents contents
}

// script answers what the machine shall do.
func (h *handler) script(w http.ResponseWriter, q *http.Request) {
	mac, ok := scriptMAC(q.PathValue("script"))
	if !ok {
		http.NotFound(w, q)
		return
	}
	r := Request{MAC: mac, From: remote(q)}
	a := h.decide(q.Context(), r)
	if q.Method == http.MethodGet {
		h.scripted(r, a)
	}
	if a.Action == Refuse {
		h.Log.Warn("refused a boot script", "mac", mac, "from", r.From, "reason", a.Reason)
		http.Error(w, "Sprout: "+a.Reason, http.StatusForbidden)
		return
	}
	text, err := a.text(h, r)
	if err != nil {
		h.Log.Error("cannot write a boot script", "mac", mac, "error", err)
		http.Error(w, "Sprout: internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	http.ServeContent(w, q, "", time.Time{}, strings.NewReader(text))
}

// url is the agent's as a machine at the address reaches it.
func (h *handler) url(from netip.Addr) string {
	if from.Is6() && h.URL6 != "" {
		return h.URL6
	}
	return h.URL
}

// decide decides, and starts the discovery that Decide may want.
func (h *handler) decide(ctx context.Context, r Request) Answer {
	if h.Neighbour != nil {
		var err error
		if r.At, err = h.Neighbour(ctx, r.From); err != nil {
			return refuse("it cannot be known whose %s is: %s", r.From, err)
		}
	}
	a := Decide(r, Site{Ledger: h.Ledger, AllowUnleased: h.AllowUnleased, Now: h.Now()})
	if a.Action != Discover {
		return a
	}
	intent, err := h.Ledger.StartDiscovery(ctx, r.MAC, r.From)
	if err != nil {
		h.Log.Error("cannot start a discovery", "mac", r.MAC, "error", err)
		return Answer{Action: LocalDisk, Reason: "the discovery of this machine could not be started"}
	}
	a.Action, a.Intent = Ramdisk, intent
	return a
}

// file serves one file, and says so once it was fetched whole.
func (h *handler) file(path string) http.HandlerFunc {
	name := filepath.Base(path)
	return func(w http.ResponseWriter, q *http.Request) {
		f, err := os.Open(path)
		if err != nil {
			h.missing(w, name, err)
			return
		}
		defer f.Close() //nolint:errcheck // only read
		info, err := f.Stat()
		if err != nil {
			h.missing(w, name, err)
			return
		}
		h.send(w, q, f, content{size: info.Size(), changed: info.ModTime()})
	}
}

// send sends a file, or the range of it that is asked for.
func (h *handler) send(w http.ResponseWriter, q *http.Request, f *os.File, has content) {
	counted := &counter{ResponseWriter: w}
	w.Header().Set("Content-Type", "application/octet-stream")
	begin := h.Now()
	http.ServeContent(counted, q, "", has.changed, f)
	if q.Method == http.MethodGet {
		h.fetched(q, filepath.Base(f.Name()), counted.bytes, has.size, h.Now().Sub(begin))
	}
}

// missing answers for a file that cannot be opened.
func (h *handler) missing(w http.ResponseWriter, name string, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		h.Log.Error("a boot file is missing", "file", name, "error", err)
		http.Error(w, "Sprout: there is no "+name, http.StatusNotFound)
		return
	}
	h.Log.Error("cannot read a boot file", "file", name, "error", err)
	http.Error(w, "Sprout: internal error", http.StatusInternalServerError)
}

// scriptMAC reads the MAC of a script's name, with colons or hyphens.
func scriptMAC(name string) (string, bool) {
	mac, ok := strings.CutSuffix(name, ".ipxe")
	if !ok || len(mac) != 17 {
		return "", false
	}
	b := []byte(strings.ToLower(mac))
	for i, c := range b {
		switch {
		case i%3 == 2 && (c == '-' || c == ':'):
			b[i] = ':'
		case i%3 == 2 || (c < '0' || c > '9') && (c < 'a' || c > 'f'):
			return "", false
		}
	}
	return string(b), true
}

// remote is the address that a request comes from; the zero Addr where it is
// none, which is in no subnet.
func remote(q *http.Request) netip.Addr {
	at, _ := netip.ParseAddrPort(q.RemoteAddr)
	return at.Addr().Unmap().WithZone("")
}
