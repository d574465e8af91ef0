package sim

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
)

// A dialect is how a program writes its DHCP messages, byte for byte as captures of
// it show (testdata/captures).
type dialect struct {
	order     []byte // of its options; the others follow by their numbers
	asks      []byte // option 55
	largest   uint16 // option 57, of a DISCOVER
	request   uint16 // option 57, of a REQUEST; 0: largest
	class     string // option 60; %05d is the architecture
	undi      []byte // option 94 (RFC 4578 section 2.2)
	user      string // option 77
	features  []byte // option 175: what this iPXE was built with (ipxe.org/howto/dhcpd)
	broadcast bool
	client    bool // option 61: its MAC
	machine   bool // options 93 and 97
}

// The options that programs of a boot ask for.
var (
	asksOVMF = []byte{1, 2, 3, 4, 5, 6, 12, 13, 15, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59, 60}
	asksPXE  = []byte{66, 67, 97, 128, 129, 130, 131, 132, 133, 134, 135}
	asksIPXE = []byte{1, 3, 6, 7, 12, 15, 17, 26, 43, 60, 66, 67, 119, 128, 129, 130, 131, 132, 133, 134, 135, 175, 203}

	orderOVMF = []byte{53, 54, 50, 57, 55, 97, 94, 93, 60}
	orderIPXE = []byte{53, 57, 93, 94, 60, 77, 55, 175, 61, 97, 54, 50}
)

var (
	// EDK2's PXE and HTTP clients, of OVMF 2022.11.
	ovmfPXE = dialect{
		order: orderOVMF, asks: slices.Concat(asksOVMF, asksPXE), largest: 1472, request: 0xff00, class: "PXEClient:Arch:%05d:UNDI:003000",
		undi: []byte{1, 3, 0}, broadcast: true, machine: true,
	}
	ovmfHTTP = dialect{
		order: orderOVMF, asks: append(slices.Clone(asksOVMF), 234, 67, 97), largest: 1472, class: "HTTPClient:Arch:%05d:UNDI:003000",
		undi: []byte{1, 3, 0}, broadcast: true, machine: true,
	}
	// What Sprout gives out: Debian's iPXE of 2020.
	ipxeBIOS = dialect{
		order: orderIPXE, asks: asksIPXE, largest: 1472, class: "PXEClient:Arch:%05d:UNDI:002001", undi: []byte{1, 2, 1}, user: "iPXE", client: true, machine: true,
		features: []byte{
			177, 5, 1, 0x1a, 0xf4, 0x10, 0, 235, 3, 1, 0, 0, 23, 1, 1, 34, 1, 1, 19, 1, 1, 17, 1, 1, 39, 1, 1, 25, 1, 1, 41, 1, 1,
			16, 1, 2, 33, 1, 1, 21, 1, 1, 24, 1, 1, 18, 1, 1,
		},
	}
	ipxeUEFI = dialect{
		order: orderIPXE, asks: asksIPXE, largest: 1472, class: "PXEClient:Arch:%05d:UNDI:003010", undi: []byte{1, 3, 10}, user: "iPXE", client: true, machine: true,
		features: []byte{177, 5, 1, 0x1a, 0xf4, 0x10, 0, 235, 3, 1, 0, 0, 23, 1, 1, 36, 1, 1, 19, 1, 1, 17, 1, 1, 39, 1, 1, 41, 1, 1, 21, 1, 1, 18, 1, 1},
	}
	// A BIOS of which there is no capture: what the PXE specification asks of it
	// (2.1, table 2-1), in the order of EDK2, which was written after it.
	pxeBIOS = dialect{
		order: orderOVMF, asks: slices.Concat(asksOVMF, asksPXE), largest: 1260, class: "PXEClient:Arch:%05d:UNDI:002001",
		undi: []byte{1, 2, 1}, broadcast: true, machine: true,
	}
	// The ramdisk's own program.
	ofRamdisk = dialect{asks: []byte{1, 3, 15, 6}, largest: 1500, class: "sprout-ramdisk"}
)

// dialect is that of who speaks at a stage of the machine's boot.
func (m *Machine) dialect(s stage) *dialect {
	bios := m.spec.BootMode == sprout.BIOS
	switch {
	case s == inRamdisk:
		return &ofRamdisk
	case s == inIPXE && bios:
		return &ipxeBIOS
	case s == inIPXE:
		return &ipxeUEFI
	case bios:
		return &pxeBIOS
	case m.spec.HTTPBoot:
		return &ovmfHTTP
	}
	return &ovmfPXE
}

// A message is one of DHCP, with the options in the order of who says it.
type message struct {
	*dhcpv4.DHCPv4
	order []byte
}

// wire is the message as it is sent: what a relay adds is at the end (RFC 3046
// section 2.1), and nothing is shorter than BOOTP was (RFC 1542 section 2.1).
func (p message) wire() []byte {
	b := p.ToBytes()[:optionsAt]
	write := func(code byte) {
		value := p.Options[code]
		b = append(append(b, code, byte(len(value))), value...)
	}
	last := dhcpv4.OptionRelayAgentInformation.Code()
	for _, code := range p.order {
		if p.Options.Has(dhcpv4.GenericOptionCode(code)) {
			write(code)
		}
	}
	others := make([]byte, 0, len(p.Options))
	for code := range p.Options {
		if code != last && !slices.Contains(p.order, code) {
			others = append(others, code)
		}
	}
	slices.Sort(others)
	for _, code := range others {
		write(code)
	}
	if p.Options.Has(dhcpv4.OptionRelayAgentInformation) {
		write(last)
	}
	b = append(b, dhcpv4.OptionEnd.Code())
	return append(b, make([]byte, max(leastDHCP-len(b), 0))...)
}

const (
	optionsAt = 240 // RFC 2131 section 2, and the cookie of RFC 2132 section 2
	leastDHCP = 300
)

// say is a message of the dialect, as the machine's own wire has it.
func (d *dialect) say(m *Machine, kind dhcpv4.MessageType, s stage, more ...dhcpv4.Modifier) (message, error) {
	largest := d.largest
	if kind == dhcpv4.MessageTypeRequest && d.request > 0 {
		largest = d.request
	}
	with := []dhcpv4.Modifier{
		dhcpv4.WithHwAddr(m.mac), dhcpv4.WithBroadcast(d.broadcast), dhcpv4.WithMessageType(kind),
		raw(dhcpv4.OptionParameterRequestList, d.asks...), dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(largest)),
	}
	arch := m.arch()
	if s == inIPXE && arch == archHTTP {
		arch = archUEFI // it is the loader that PXE has too
	}
	class := d.class
	if strings.Contains(class, "%") {
		class = fmt.Sprintf(class, arch)
	}
	with = append(with, dhcpv4.WithOption(dhcpv4.OptClassIdentifier(class)))
	if d.machine {
		uuid, err := smbiosUUID(m.spec.UUID)
		if err != nil {
			return message{}, err
		}
		// RFC 4578 sections 2.1 to 2.3
		with = append(with, raw(dhcpv4.OptionClientSystemArchitectureType, byte(arch>>8), byte(arch)),
			raw(dhcpv4.OptionClientNetworkInterfaceIdentifier, d.undi...), raw(dhcpv4.OptionClientMachineIdentifier, append([]byte{0}, uuid...)...))
	}
	if d.user != "" {
		with = append(with, raw(dhcpv4.OptionUserClassInformation, []byte(d.user)...), raw(dhcpv4.GenericOptionCode(175), d.features...))
	}
	if d.client {
		with = append(with, raw(dhcpv4.OptionClientIdentifier, append([]byte{1}, m.mac...)...)) // RFC 2132 section 9.14
	}
	p, err := dhcpv4.New(append(with, more...)...)
	if err != nil {
		return message{}, fmt.Errorf("cannot make a DHCP message: %w", err)
	}
	return message{p, d.order}, nil
}

// raw is an option of these octets.
func raw(code dhcpv4.OptionCode, value ...byte) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptGeneric(code, value))
}

// smbiosUUID is a UUID as firmware has it: the first three fields with their least
// octet first (SMBIOS 3.7 section 7.2.1).
func smbiosUUID(text string) ([]byte, error) {
	uuid, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(uuid) != 16 {
		return nil, sprout.InvalidField("uuid", "%q is no UUID", text)
	}
	for _, field := range [][]byte{uuid[:4], uuid[4:6], uuid[6:8]} {
		slices.Reverse(field)
	}
	return uuid, nil
}
