package dhcptest

import (
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// pxe is what firmware says of itself (RFC 4578).
func pxe(arch byte, class string) dhcpv4.Modifier {
	return func(p *dhcpv4.DHCPv4) {
		p.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientSystemArchitectureType, []byte{0, arch}))
		p.UpdateOption(dhcpv4.OptClassIdentifier(class + ":Arch:00000:UNDI:002001"))
		p.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientMachineIdentifier, append([]byte{0}, "0123456789abcdef"...)))
	}
}

// ipxe is what iPXE says of itself, with its features.
func ipxe(features string) dhcpv4.Modifier {
	return func(p *dhcpv4.DHCPv4) {
		pxe(0, "PXEClient")(p)
		p.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionUserClassInformation, []byte("iPXE")))
		p.UpdateOption(dhcpv4.OptGeneric(optionIPXE, []byte(features)))
	}
}

const optionIPXE = dhcpv4.GenericOptionCode(175)

// file is what an answer has the firmware load.
func file(p *dhcpv4.DHCPv4) string {
	if name := p.BootFileNameOption(); name != "" {
		return name
	}
	return p.BootFileName
}

func (w *Wire) bootFiles(t *testing.T) {
	const url = "http://10.0.0.1/boot/"
	for name, c := range map[string]struct {
		firmware dhcpv4.Modifier
		want     string
	}{
		"BIOS":               {pxe(0, "PXEClient"), "undionly.kpxe"},
		"UEFI":               {pxe(7, "PXEClient"), "snponly.efi"},
		"UEFI, byte code":    {pxe(9, "PXEClient"), "snponly.efi"},
		"UEFI HTTP":          {pxe(16, "HTTPClient"), url + "snponly.efi"},
		"arm64":              {pxe(11, "PXEClient"), "grubaa64.efi"},
		"iPXE":               {ipxe("\x13\x01\x01"), url + "52-54-00-00-00-02.ipxe"},
		"iPXE by user class": {dhcpv4.WithGeneric(dhcpv4.OptionUserClassInformation, []byte("iPXE")), url + "52-54-00-00-00-02.ipxe"},
		"iPXE by RFC 3004":   {dhcpv4.WithGeneric(dhcpv4.OptionUserClassInformation, []byte("\x04iPXE")), url + "52-54-00-00-00-02.ipxe"},
		"iPXE without HTTP":  {ipxe("\x12\x01\x01"), "undionly.kpxe"},
		"a system":           {func(*dhcpv4.DHCPv4) {}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			wants := dhcpv4.WithRequestedOptions(dhcpv4.OptionTFTPServerName, dhcpv4.OptionBootfileName, dhcpv4.OptionClassIdentifier)
			ack := w.acquire(t, db01, "10.0.0.2", c.firmware, wants)
			if got := file(ack); got != c.want {
				t.Errorf("it loads %q, want %q", got, c.want)
			}
			if c.want != "" && addr(ack.ServerIPAddr) != w.Address {
				t.Errorf("next server %s", ack.ServerIPAddr)
			}
			if http := name == "UEFI HTTP"; http != (ack.ClassIdentifier() == "HTTPClient") {
				t.Errorf("vendor class %q", ack.ClassIdentifier())
			}
			if asks := string(ack.Options.Get(optionIPXE)); strings.HasPrefix(name, "iPXE") != (asks == "\xb0\x01\x01") {
				t.Errorf("option 175 is %q", asks)
			}
			if asked := w.sent.Options.Get(dhcpv4.OptionClientMachineIdentifier); c.want != "" && string(ack.Options.Get(dhcpv4.OptionClientMachineIdentifier)) != string(asked) {
				t.Errorf("option 97 is not that of the request")
			}
		})
	}
}

// signed: what enforces Secure Boot is given what is signed, or nothing.
func (w *Wire) signed(t *testing.T) {
	for _, mac := range []string{key01, key02} {
		for arch, want := range map[byte]string{0: "undionly.kpxe", 7: "shimx64.efi", 9: "shimx64.efi", 11: "shimaa64.efi"} {
			ack := w.acquire(t, mac, "10.0.0.2", pxe(arch, "PXEClient"), dhcpv4.WithRequestedOptions(dhcpv4.OptionBootfileName))
			if got := file(ack); got != want {
				t.Errorf("architecture %d of %s loads %q, want %q", arch, mac, got, want)
			}
		}
		if offer := w.ask(t, mac, "10.0.0.2", dhcpv4.MessageTypeDiscover, pxe(16, "HTTPClient"), dhcpv4.WithRequestedOptions(dhcpv4.OptionBootfileName)); offer != nil && file(offer) != "" {
			t.Errorf("HTTP boot of %s is offered %q", mac, file(offer))
		}
	}
}

func (w *Wire) discovery(t *testing.T) {
	for name, c := range map[string]struct{ mac, relay, want string }{
		"unknown, discovery":    {w.mac(), "10.0.0.2", "snponly.efi"},
		"known, no discovery":   {db01, "10.8.0.1", "snponly.efi"},
		"unknown, no discovery": {w.mac(), "10.8.0.1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			offer := w.ask(t, c.mac, c.relay, dhcpv4.MessageTypeDiscover, pxe(7, "PXEClient"), dhcpv4.WithRequestedOptions(dhcpv4.OptionBootfileName))
			if offer == nil || file(offer) != c.want {
				t.Errorf("offered %v, want the file %q", offer, c.want)
			}
		})
	}
}
