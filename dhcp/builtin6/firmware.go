package builtin6

import (
	"bytes"
	"fmt"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"sprout/dhcp/builtin"
)

// UEFI HTTP boot is known by a vendor class of this name and Intel's enterprise
// number, in question and answer (UEFI 2.10, section 24.7.3.1).
const (
	httpClient = "HTTPClient"
	intel      = 343
)

// A firmware is what a message says of the program that sent it.
type firmware struct {
	boots  bool     // it asks for a boot file
	arches []uint16 // option 61, RFC 5970 section 3.3
	ipxe   bool     // user class iPXE
	http   bool     // vendor class HTTPClient
}

// firmwareOf reads options 15, 16 and 61.
func firmwareOf(m *dhcpv6.Message) firmware {
	var f firmware
	for _, class := range m.Options.UserClasses() {
		f.ipxe = f.ipxe || bytes.Equal(class, []byte("iPXE"))
	}
	for _, class := range m.Options.VendorClasses() {
		for _, data := range class.Data {
			f.http = f.http || bytes.HasPrefix(data, []byte(httpClient))
		}
	}
	for _, arch := range m.Options.ArchTypes() {
		f.arches = append(f.arches, uint16(arch))
	}
	f.boots = f.ipxe || len(f.arches) > 0
	return f
}

// A bootFile is what to load, and why.
type bootFile struct {
	url    string // empty: nothing
	http   bool   // answer with vendor class HTTPClient
	reason string
}

// boot says what the client gets to boot besides its address.
func (d *decision) boot() bootFile {
	f, sub := firmwareOf(d.r.Message), d.given.subnet
	switch {
	case !f.boots || sub == nil:
		return bootFile{}
	case d.id.mac == "":
		return bootFile{reason: "no boot file: its MAC is not known, and its boot is decided by that"}
	}
	m, known := d.s.Ledger.Known(d.id.mac)
	b := d.s.bootFileFor(f, d.id.mac, m.SecureBoot)
	switch {
	case known:
		b.reason += ", for " + m.Name
	case !sub.Discover:
		return bootFile{reason: fmt.Sprintf("no boot file: it is unknown and %s does not allow discovery", sub.CIDR)}
	default:
		b.reason += ", to be discovered"
	}
	return b
}

// bootFileFor is the table of what each firmware shall load.
func (s *Site) bootFileFor(f firmware, mac string, secureBoot bool) bootFile {
	if f.ipxe {
		return bootFile{url: builtin.ScriptURL(s.BootURL, mac), reason: "its iPXE fetches the boot script"}
	}
	for _, arch := range f.arches {
		for _, l := range s.Loaders {
			if l.Arch != arch {
				continue
			}
			file := l.For(secureBoot)
			switch {
			case file == "":
				return bootFile{reason: l.NotSigned()}
			case l.HTTP:
				return bootFile{url: s.BootURL + "/boot/" + file, http: true, reason: l.Name + " fetches " + file}
			}
			return bootFile{url: "tftp://" + literal(s.Address) + "/" + file, reason: l.Name + " loads " + file}
		}
	}
	return bootFile{reason: fmt.Sprintf("no boot file: no loader for architecture %v", f.arches)}
}

// literal is an address as URLs have it (RFC 3986 section 3.2.2).
func literal(ip netip.Addr) string { return "[" + ip.String() + "]" }

// putBoot puts options 59 and 16 (RFC 5970 section 3.1).
func (d *decision) putBoot(b bootFile) {
	if b.url == "" {
		return
	}
	d.remove(dhcpv6.OptionBootfileURL)
	d.options = append(d.options, dhcpv6.OptBootFileURL(b.url))
	if b.http {
		d.options = append(d.options, &dhcpv6.OptVendorClass{EnterpriseNumber: intel, Data: [][]byte{[]byte(httpClient)}})
	}
}
