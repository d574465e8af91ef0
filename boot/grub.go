package boot

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
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

// The names of what is fetched by TFTP where Secure Boot is enforced: shim names
// GRUB, and Debian's signed GRUB its configuration. It tries one of its platform
// first, which is not there.
const (
	shimFile   = "shimx64.efi"
	grubFile   = "grubx64.efi"
	grubConfig = "grub/grub.cfg"
)

// TFTP opens what is fetched by TFTP: the loaders, and where Secure Boot is
// enforced shim, GRUB, what GRUB is to do, and the ramdisk. Nothing else can be
// had, whatever a name says. The context is that of what it has to begin.
func TFTP(ctx context.Context, c Config) tftp.Open {
	h := &handler{Config: c.withDefaults()}
	loaders := tftp.Files(h.Loaders, LoaderFiles...)
	ramdisk := tftp.Files(h.Files, "vmlinuz", "initrd")
	return func(name string, client netip.Addr) (tftp.File, error) {
		switch name {
		case shimFile:
			return h.shim(ctx, client)
		case grubFile:
			return h.signed(h.GRUB)
		case grubConfig:
			return h.grub(ctx, client)
		case "vmlinuz", "initrd":
			return ramdisk(name, client)
		}
		return loaders(name, client)
	}
}

// shim is there for who is to boot the ramdisk. For all others it is not: shim and
// GRUB can give the machine back to no boot order, firmware that finds no file goes
// on in its own.
func (h *handler) shim(ctx context.Context, client netip.Addr) (tftp.File, error) {
	r, a := h.asks(ctx, client)
	if a.Action != Ramdisk {
		h.scripted(r, a)
		return nil, fmt.Errorf("%s: %w", a.Reason, fs.ErrNotExist)
	}
	return h.signed(h.Shim)
}

// signed opens a loader of Debian's packages.
func (h *handler) signed(path string) (tftp.File, error) {
	f, err := tftp.OpenFile(path)
	if err != nil {
		h.Log.Error("a signed boot loader is missing: apt-get install shim-signed grub-efi-amd64-signed", "file", path, "error", err)
	}
	return f, err
}

// grub is what the machine's GRUB shall do.
func (h *handler) grub(ctx context.Context, client netip.Addr) (tftp.File, error) {
	r, a := h.asks(ctx, client)
	h.scripted(r, a)
	text, err := a.grub(h.url(client), r.MAC, h.Cmdline)
	if err != nil {
		return nil, err
	}
	return tftp.Text(text), nil
}

// asks decides for the machine that has the address: TFTP has no other word of
// who asks.
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
	if linux /vmlinuz 'sprout.url={{.URL}}' 'sprout.token={{.Intent.Token}}' 'BOOTIF={{.BootIF}}' ip=none panic=30 console=ttyS0 console=tty0{{with .Cmdline}} {{.}}{{end}}; then
		if initrd /initrd; then
			boot
		fi
	fi
	echo 'Sprout: that failed, trying again in 5 s'
	sleep 5
done
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
	err := t.Execute(&b, script{url, mac, a.Intent, reason, cmdline})
	return b.String(), err
}
