package builtin

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
	"sprout/dhcp"
)

// A manner is how firmware asks: what it wants (option 55), how long a message it
// takes (57; 0: it does not say), the version of its network interface, and whether
// it wants a broadcast.
type manner struct {
	wants     []byte
	takes     uint16
	undi      string
	broadcast bool
}

// The manners of firmware: of EDK2 and iPXE as their messages in testdata/captures
// have them, of EDK2's HTTP boot as its source has it, of BIOS as Intel's PXE 2.1.
var (
	ofBIOS = manner{[]byte{1, 2, 3, 5, 6, 11, 12, 13, 15, 16, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59, 60, 66, 67, 128, 129, 130, 131, 132, 133, 134, 135}, 1260, "002001", true}
	ofUEFI = manner{[]byte{1, 2, 3, 4, 5, 6, 12, 13, 15, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59, 60, 66, 67, 97, 128, 129, 130, 131, 132, 133, 134, 135}, 1472, "003000", true}
	ofHTTP = manner{ofUEFI.wants[:27], 0, "003000", true}
	ofIPXE = manner{[]byte{1, 3, 6, 7, 12, 15, 17, 26, 43, 60, 66, 67, 119, 128, 129, 130, 131, 132, 133, 134, 135, 175, 203}, 1472, "002001", false}
)

// asked is what the firmware says of itself in a DISCOVER: its options, and the
// header's flags. An operating system is taken to want whatever there is, as each
// asks for something else. mode is that of the machine, where that is known: iPXE
// says it.
func asked(f dhcp.Firmware, mac net.HardwareAddr, mode sprout.BootMode) (o dhcpv4.Options, flags uint16, err error) {
	o = dhcpv4.Options{53: {byte(dhcpv4.MessageTypeDiscover)}}
	if f == dhcp.NoBoot {
		return o, 0, nil
	}
	arch, http, err := ArchitectureIn(f, mode)
	if err != nil {
		return nil, 0, err
	}
	how, class := ofUEFI, classPXE
	switch {
	case f == dhcp.IPXE:
		how = ofIPXE
		o[77], o[optionIPXE], o[61] = []byte("iPXE"), []byte{ipxeHTTP, 1, 1}, append([]byte{1}, mac...)
	case http:
		how, class = ofHTTP, classHTTP
	case arch == 0:
		how = ofBIOS
	}
	o[55], o[93] = how.wants, binary.BigEndian.AppendUint16(nil, arch)
	o[optionVendorClass] = fmt.Appendf(nil, "%s:Arch:%05d:UNDI:%s", class, arch, how.undi)
	if how.takes > 0 {
		o[57] = binary.BigEndian.AppendUint16(nil, how.takes)
	}
	if how.broadcast {
		flags = 0x8000
	}
	return o, flags, nil
}

// Architecture is the number of a firmware's (RFC 4578 section 2.1), and tells whether it
// boots by HTTP. The error is Invalid: there is no such firmware.
func Architecture(f dhcp.Firmware) (arch uint16, http bool, err error) {
	n, err := strconv.ParseUint(cmp.Or(map[dhcp.Firmware]string{dhcp.BIOS: "0", dhcp.UEFI: "7", dhcp.UEFIHTTP: "16"}[f], f), 10, 16)
	if err != nil {
		return 0, false, sprout.InvalidField("arch", "cannot explain firmware %q: bios, uefi, http, ipxe, or the number of an architecture is needed", f)
	}
	return uint16(n), slices.Contains(httpArches, uint16(n)), nil
}

// ArchitectureIn is Architecture also of iPXE, which says that of the machine that
// it runs on: of BIOS where the mode is not known.
func ArchitectureIn(f dhcp.Firmware, mode sprout.BootMode) (arch uint16, http bool, err error) {
	if f == dhcp.IPXE {
		f = map[bool]dhcp.Firmware{false: dhcp.BIOS, true: dhcp.UEFI}[mode == sprout.UEFI]
	}
	return Architecture(f)
}

// Client is what a client with the firmware says of itself, on a machine of the mode
// where that is known. The error is Invalid: there is no such firmware.
func Client(f dhcp.Firmware, mac string, mode sprout.BootMode) (sprout.DHCPClient, error) {
	o, _, err := asked(f, nil, mode)
	if err != nil {
		return sprout.DHCPClient{}, err
	}
	d := decision{r: Request{Packet: &dhcpv4.DHCPv4{Options: o}}, mac: mac}
	return d.who(), nil
}

// httpArches are the architectures of UEFI HTTP boot (IANA's registry).
var httpArches = []uint16{15, 16, 17, 18, 19, 22, 24, 26, 28, 30}
