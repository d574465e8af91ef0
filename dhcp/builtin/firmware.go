package builtin

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
)

// A firmware is what a packet says of the program that sent it.
type firmware struct {
	boots    bool     // it asks for a boot file
	arches   []uint16 // option 93, RFC 4578 section 2.1; without it no PXE
	ipxe     bool     // user class iPXE, or option 175
	withHTTP bool     // an iPXE that can fetch by HTTP, as far as it says
	http     bool     // vendor class HTTPClient: UEFI HTTP boot
}

// firmwareOf reads options 60, 77, 93 and 175.
func firmwareOf(p *dhcpv4.DHCPv4) firmware {
	f := firmware{
		http: bytes.HasPrefix(p.Options[optionVendorClass], []byte("HTTPClient")),
		ipxe: isIPXE(p.Options[77]),
	}
	arches := p.Options[93]
	for ; len(arches) >= 2; arches = arches[2:] {
		f.arches = append(f.arches, uint16(arches[0])<<8|uint16(arches[1]))
	}
	f.withHTTP = f.ipxe
	if features, ok := p.Options[optionIPXE]; ok {
		_, f.withHTTP = suboption(features, ipxeHTTP)
		f.ipxe = true
	}
	f.boots = f.ipxe || len(f.arches) > 0
	return f
}

// isIPXE reads a user class, as RFC 3004 wants it (each with its length) or
// bare as iPXE sends it.
func isIPXE(class []byte) bool {
	return bytes.Equal(class, []byte("iPXE")) || bytes.Equal(class, []byte("\x04iPXE"))
}

// A bootFile is what to load, from where, and why.
type bootFile struct {
	name   string // TFTP name or URL; empty: nothing
	http   bool   // answer with vendor class HTTPClient
	reason string
}

// bootFileFor is the table of DESIGN 5: what the firmware shall load, of a
// machine that enforces Secure Boot or not.
func (s *Site) bootFileFor(f firmware, mac string, secureBoot bool) bootFile {
	if f.ipxe && f.withHTTP {
		return bootFile{name: ScriptURL(s.BootURL, mac), reason: "its iPXE fetches the boot script"}
	}
	for _, arch := range f.arches {
		for _, l := range s.Loaders {
			if l.Arch == arch {
				return s.loaded(l, f, secureBoot)
			}
		}
	}
	return bootFile{reason: fmt.Sprintf("no boot file: no loader for architecture %v", f.arches)}
}

// loaded is what the row l of the table means for f.
func (s *Site) loaded(l Loader, f firmware, secureBoot bool) bootFile {
	file := l.For(secureBoot)
	switch {
	case file == "":
		return bootFile{reason: l.NotSigned()}
	case l.HTTP:
		return bootFile{name: s.BootURL + "/boot/" + file, http: true, reason: l.Name + " fetches " + file}
	case f.ipxe:
		return bootFile{name: file, reason: "its iPXE has no HTTP: it loads ours, " + file}
	}
	return bootFile{name: file, reason: l.Name + " loads " + file}
}

// ScriptURL is where the machine with the MAC fetches what it shall do. The
// MAC is written with hyphens, which every URL reader takes.
func ScriptURL(base, mac string) string {
	return base + "/boot/" + strings.ReplaceAll(mac, ":", "-") + ".ipxe"
}

// boot says what the client gets to boot besides its address.
func (d *decision) boot(sub *sprout.Subnet) bootFile {
	f := firmwareOf(d.r.Packet)
	switch {
	case !f.boots:
		return bootFile{}
	case d.mac == "":
		return bootFile{reason: "no boot file: it has no Ethernet address"}
	}
	if m, ok := d.s.Ledger.Known(d.mac); ok {
		b := d.s.bootFileFor(f, d.mac, m.SecureBoot)
		b.reason += ", for " + m.Name
		return b
	}
	if !sub.Discover {
		return bootFile{reason: fmt.Sprintf("no boot file: it is unknown and %s does not allow discovery", sub.CIDR)}
	}
	b := d.s.bootFileFor(f, d.mac, false)
	b.reason += ", to be discovered"
	return b
}
