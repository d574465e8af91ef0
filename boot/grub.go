package boot

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"text/template"

	"sprout/boot/tftp"
)

// Where Debian's packages shim-signed and grub-efi-amd64-signed put the loaders
// that firmware with Secure Boot runs.
const (
	DefaultShim = "/usr/lib/shim/shimx64.efi.signed"
	DefaultGRUB = "/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed"
)

// grubConfig is what Debian's signed GRUB asks for, of whatever architecture it is.
const grubConfig = "grub/grub.cfg"

// TFTP opens what is fetched by TFTP: the loaders, and where iPXE cannot be used
// shim, GRUB, what GRUB is to do, and the ramdisk. Nothing else can be had, whatever
// a name says. The context is that of what it has to begin.
func TFTP(ctx context.Context, c Config) tftp.Open {
	h := &handler{Config: c.withDefaults()}
	loaders := tftp.Files(h.Loaders, LoaderFiles...)
	ramdisk := tftp.Files(h.Files, ramdiskFiles...)
	chains := h.chains()
	return func(name string, client netip.Addr) (tftp.File, error) {
		for i := range chains {
			switch c := &chains[i]; name {
			case c.Shim:
				return h.first(ctx, c, c.shim, client)
			case c.GRUB:
				if c.GRUBFirst {
					return h.first(ctx, c, c.grub, client)
				}
				return h.signed(c, c.grub)
			}
		}
		if name == grubConfig {
			return h.grub(ctx, client)
		}
		if slices.Contains(ramdiskFiles, name) {
			return ramdisk(name, client)
		}
		return loaders(name, client)
	}
}

// first is what firmware loads, for who is to boot the ramdisk. For all others it is
// not there: shim and GRUB can give the machine back to no boot order, firmware that
// finds no file goes on in its own.
func (h *handler) first(ctx context.Context, c *chain, path string, client netip.Addr) (tftp.File, error) {
	r, a := h.asks(ctx, client)
	if a.Action != Ramdisk {
		h.scripted(r, a)
		return nil, fmt.Errorf("%s: %w", a.Reason, fs.ErrNotExist)
	}
	return h.signed(c, path)
}

// signed opens a loader of Debian's packages.
func (h *handler) signed(c *chain, path string) (tftp.File, error) {
	f, err := tftp.OpenFile(path)
	if err != nil {
		h.Log.Error("a signed boot loader is missing: "+c.get, "file", path, "error", err)
	}
	return f, err
}

// grub is what the machine's GRUB shall do.
func (h *handler) grub(ctx context.Context, client netip.Addr) (tftp.File, error) {
	r, a := h.asks(ctx, client)
	h.scripted(r, a)
	if a.Action == Refuse {
		h.Log.Warn("refused what GRUB is to do", "mac", r.MAC, "from", r.From, "reason", a.Reason)
	}
	text, err := a.grub(h.url(client), r.MAC, h.Cmdline)
	if err != nil {
		return nil, err
	}
	return tftp.Text(text), nil
}

// asks decides for the machine to which the address is leased: TFTP has no other
// word of who asks, so that who has the address on the link is asked of the link.
func (h *handler) asks(ctx context.Context, client netip.Addr) (Request, Answer) {
	r := Request{From: client.Unmap().WithZone("")}
	lease, ok := h.Ledger.LeaseByIP(r.From)
	if !ok || lease.MAC == "" {
		return r, refuse("%s is leased to nobody", r.From)
	}
	r.MAC = strings.ToLower(lease.MAC)
	return r, h.decide(ctx, r)
}

// grubRamdisk is ramdiskScript in the words of GRUB. It fetches from the server
// that it came from itself.
var grubRamdisk = template.Must(template.New("grub").Parse(`echo 'Sprout: {{.Reason}}'
echo 'Sprout: boot attempt {{.Intent.Attempt}}'
while true; do
	if [ "$grub_cpu" = arm64 ]; then
		{{template "load" (.In "/arm64")}}
	else
		{{template "load" (.In "")}}
	fi
	echo 'Sprout: that failed, trying again in 5 s'
	sleep 5
done
{{- define "load" -}}
if linux {{.Dir}}/vmlinuz 'sprout.url={{.URL}}' 'sprout.token={{.Intent.Token}}' 'BOOTIF={{.BootIF}}' ip=none panic=30 console=ttyS0 console=tty0{{with .Cmdline}} {{.}}{{end}}; then
			if initrd {{.Dir}}/initrd; then
				boot
			fi
		fi
{{- end}}
`))

// grubDisk is for a machine whose intent ended after it had fetched shim. What it
// fetches after the reset is not there.
var grubDisk = template.Must(template.New("grub-disk").Parse(`echo 'Sprout: {{.Reason}}'
sleep 5
reboot
`))

// grub renders the configuration of an answer.
func (a Answer) grub(url, mac, cmdline string) (string, error) {
	t := grubDisk
	if a.Action == Ramdisk {
		t = grubRamdisk
	}
	var b strings.Builder
	reason := strings.ReplaceAll(plain(a.Reason), "'", ".")
	err := t.Execute(&b, script{url, mac, a.Intent, reason, cmdline, nil})
	return b.String(), err
}
