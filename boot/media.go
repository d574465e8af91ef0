package boot

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"text/template"

	"sprout"
	"sprout/fat"
)

// DefaultCDGRUB is where Debian's package grub-efi-amd64-signed puts the GRUB
// that boots from a CD.
const DefaultCDGRUB = "/usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed"

// A Static is the address that a ramdisk has without asking for it.
type Static struct {
	MAC     string // of the port
	Address netip.Prefix
	Gateway netip.Addr   // zero: none
	DNS     []netip.Addr // may be empty
}

// cmdline is how the kernel's command line says it.
func (s Static) cmdline() string {
	words := []string{"sprout.ip=" + s.Address.String()}
	if s.Gateway.IsValid() {
		words = append(words, "sprout.gateway="+s.Gateway.String())
	}
	if len(s.DNS) > 0 {
		var all []string
		for _, ip := range s.DNS {
			all = append(all, ip.String())
		}
		words = append(words, "sprout.dns="+strings.Join(all, ","))
	}
	return strings.Join(words, " ")
}

// Media is the CD from which UEFI firmware of amd64 boots the ramdisk of one
// intent, without any word of the network: shim, GRUB, kernel, initrd, and all
// that the ramdisk has to know. Close ends its use.
type Media struct {
	*io.SectionReader
	// Version changes with what is on the disc.
	Version string
	files   []*os.File
}

// Close closes the files that the disc is made of.
func (m *Media) Close() error {
	var errs []error
	for _, f := range m.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// Discs makes media. What firmware boots is the same on all of them, and kept.
type Discs struct {
	config Config
	mu     sync.Mutex
	esp    string
	of     string // the loaders that esp holds, with their sizes and times
}

// NewDiscs makes none yet.
func NewDiscs(c Config) *Discs { return &Discs{config: c.withDefaults()} }

// Media makes the CD of an intent. url is the agent's as the ramdisk reaches it.
// Nothing is written anywhere: the same intent makes the same disc, whatever part
// of it is asked for.
func (d *Discs) Media(in sprout.Intent, s Static, url string) (m *Media, err error) {
	m = &Media{}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.Close())
		}
	}()
	esp, err := d.volume()
	if err != nil {
		return m, err
	}
	config, err := grubCD(in, s, url, d.config.Cmdline)
	if err != nil {
		return m, err
	}
	files := []isoFile{text(".DISK/INFO", "Sprout"), text("BOOT/GRUB/GRUB.CFG", config), text("ESP.IMG", esp)}
	for _, name := range []string{"vmlinuz", "initrd"} {
		f, err := os.Open(filepath.Join(d.config.Files, name))
		if err != nil {
			return m, fmt.Errorf("cannot make a CD without %s: %w", name, err)
		}
		m.files = append(m.files, f)
		info, err := f.Stat()
		if err != nil {
			return m, fmt.Errorf("cannot make a CD with %s: %w", name, err)
		}
		m.Version += fmt.Sprintf("%x-%x-", info.Size(), info.ModTime().UnixNano())
		files = append(files, isoFile{strings.ToUpper(name), f, info.Size()})
	}
	whole := newDisc("SPROUT", "ESP.IMG", files)
	m.SectionReader = io.NewSectionReader(whole, 0, whole.size)
	m.Version += string(in.Attempt)
	return m, nil
}

func text(path, content string) isoFile {
	return isoFile{path, strings.NewReader(content), int64(len(content))}
}

// volume is what firmware boots from: shim, and GRUB under the name that shim
// gives it. It is made anew where a package has brought others.
func (d *Discs) volume() (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	loaders := []struct{ name, path string }{{"EFI/BOOT/BOOTX64.EFI", d.config.Shim}, {"EFI/BOOT/GRUBX64.EFI", d.config.CDGRUB}}
	var of string
	for _, l := range loaders {
		info, err := os.Stat(l.path)
		if err != nil {
			return "", lacks(err)
		}
		of += fmt.Sprintf("%s %d %d\n", l.path, info.Size(), info.ModTime().UnixNano())
	}
	if of == d.of {
		return d.esp, nil
	}
	var files []fat.File
	for _, l := range loaders {
		raw, err := os.ReadFile(l.path)
		if err != nil {
			return "", lacks(err)
		}
		files = append(files, fat.File{Path: l.name, Content: raw})
	}
	raw, err := fat.Volume("SPROUT", fat.Room(files...), files...)
	if err != nil {
		return "", err
	}
	d.esp, d.of = string(raw), of
	return d.esp, nil
}

func lacks(err error) error {
	return fmt.Errorf("cannot make a CD without signed boot loaders: apt-get install shim-signed grub-efi-amd64-signed: %w", err)
}

// grubMedia is grubRamdisk from a CD. A machine that still has the disc after its
// intent has ended finds an agent that turns its ramdisk away.
var grubMedia = template.Must(template.New("media").Parse(`echo 'Sprout: boot attempt {{.Intent.Attempt}}, from virtual media'
linux /vmlinuz 'sprout.url={{.URL}}' 'sprout.token={{.Intent.Token}}' 'BOOTIF={{.BootIF}}' {{.Static}} ip=none panic=30 console=ttyS0 console=tty0{{with .Cmdline}} {{.}}{{end}}
initrd /initrd
boot
`))

func grubCD(in sprout.Intent, s Static, url, cmdline string) (string, error) {
	var b strings.Builder
	err := grubMedia.Execute(&b, struct {
		script
		Static string
	}{script{URL: url, MAC: s.MAC, Intent: in, Cmdline: cmdline}, s.cmdline()})
	return b.String(), err
}
