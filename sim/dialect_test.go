package sim

import (
	"bytes"
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
)

// TestDialectsAreThoseOfRealPrograms: what simulated machines say is what OVMF, iPXE
// and the ramdisk were heard to say, byte for byte, but for the transaction, the
// seconds and what the relay adds.
func TestDialectsAreThoseOfRealPrograms(t *testing.T) {
	bios, uefi, http := Spec{BootMode: sprout.BIOS}, Spec{BootMode: sprout.UEFI}, Spec{BootMode: sprout.UEFI, HTTPBoot: true}
	for name, c := range map[string]struct {
		spec Spec
		at   stage
	}{
		"ipxe-bios": {bios, inIPXE}, "ipxe-uefi": {uefi, inIPXE}, "ovmf-pxe": {uefi, inFirmware}, "ovmf-http": {http, inFirmware}, "ramdisk": {uefi, inRamdisk},
	} {
		for kind, is := range map[string]dhcpv4.MessageType{"discover": dhcpv4.MessageTypeDiscover, "request": dhcpv4.MessageTypeRequest} {
			t.Run(name+"-"+kind, func(t *testing.T) {
				want := capture(t, name+"-"+kind+".hex")
				real, err := dhcpv4.FromBytes(want)
				if err != nil {
					t.Fatal(err)
				}
				m := &Machine{spec: c.spec, mac: real.ClientHWAddr, wire: Wire{Relay: netip.MustParseAddr("10.20.0.1")}}
				m.spec.UUID = textOf(real.Options[dhcpv4.OptionClientMachineIdentifier.Code()])
				more := []dhcpv4.Modifier{dhcpv4.WithTransactionID(real.TransactionID)}
				for _, code := range []dhcpv4.OptionCode{dhcpv4.OptionRequestedIPAddress, dhcpv4.OptionServerIdentifier} {
					if value, ok := real.Options[code.Code()]; ok {
						more = append(more, raw(code, value...))
					}
				}
				said, err := m.request(c.at, is, more...)
				if err != nil {
					t.Fatal(err)
				}
				relayed := said.wire()
				if said.HopCount != 1 || !slices.Contains(relayed, dhcpv4.OptionRelayAgentInformation.Code()) {
					t.Errorf("it was not relayed: %s", said.Summary())
				}
				said.HopCount, said.GatewayIPAddr, said.NumSeconds = 0, net.IPv4zero, real.NumSeconds
				delete(said.Options, dhcpv4.OptionRelayAgentInformation.Code())
				if got := said.wire(); !bytes.Equal(got, want) {
					t.Errorf("said\n%x, heard of the program was\n%x", got, want)
				}
			})
		}
	}
}

// TestReadRequestsAreOVMFs: it asks for the size, gives up, and asks for the file.
func TestReadRequestsAreOVMFs(t *testing.T) {
	for name, got := range map[string][]byte{
		"tftp-size.hex": readRequest("snponly.efi", true), "tftp-file.hex": readRequest("snponly.efi", false), "tftp-abort.hex": abort(),
	} {
		if want := capture(t, name); !bytes.Equal(got, want) {
			t.Errorf("%s: said %q, heard was %q", name, got, want)
		}
	}
}

func capture(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "captures", name))
	if err != nil {
		t.Fatal(err)
	}
	wire, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

// textOf is the UUID that a machine's option 97 has.
func textOf(option []byte) string {
	if len(option) != 17 {
		return ""
	}
	id := slices.Clone(option[1:])
	for _, field := range [][]byte{id[:4], id[4:6], id[6:8]} {
		slices.Reverse(field)
	}
	return hex.EncodeToString(id)
}
