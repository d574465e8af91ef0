package builtin_test

import (
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout/dhcp/builtin"
)

// TestBootFile is the table of how a machine boots.
func TestBootFile(t *testing.T) {
	pxe := func(arch byte) dhcpv4.Options {
		return dhcpv4.Options{93: {0, arch}, 60: []byte("PXEClient:Arch:00000:UNDI:002001"), 97: append([]byte{0}, make([]byte, 16)...)}
	}
	with := func(o dhcpv4.Options, code uint8, v []byte) dhcpv4.Options {
		o[code] = v
		return o
	}
	ipxe := func(features string) dhcpv4.Options {
		return dhcpv4.Options{93: {0, 0}, 77: []byte("iPXE"), 175: []byte(features)}
	}
	const script = "http://10.0.0.1:8080/boot/"
	for name, c := range map[string]struct {
		mac     string
		giaddr  string
		options dhcpv4.Options
		want    string
		why     string
	}{
		"RFC 4578 2.1: BIOS":                  {db01, "", pxe(0), "undionly.kpxe", "x86 BIOS loads undionly.kpxe, for db-01"},
		"RFC 4578 2.1: UEFI":                  {db01, "", pxe(7), "snponly.efi", "x86-64 UEFI"},
		"RFC 4578 2.1: UEFI, byte code":       {db01, "", pxe(9), "snponly.efi", "x86-64 UEFI"},
		"UEFI HTTP":                           {db01, "", with(pxe(16), 60, []byte("HTTPClient:Arch:00016")), script + "snponly.efi", "HTTP"},
		"RFC 4578 2.1: several architectures": {db01, "", with(pxe(0), 93, []byte{0, 6, 0, 7}), "snponly.efi", "x86-64 UEFI"},
		"RFC 4578 2.1: arm64":                 {db01, "", pxe(11), "grubaa64.efi", "arm64 UEFI loads grubaa64.efi"},
		"arm64 by HTTP":                       {db01, "", pxe(19), "", "no loader for architecture [19]"},
		"RFC 4578 2.1: no option 93":          {db01, "", dhcpv4.Options{60: []byte("PXEClient")}, "", ""},
		"iPXE":                                {db01, "", ipxe("\x13\x01\x01"), script + "52-54-00-00-00-02.ipxe", "boot script"},
		"iPXE by user class":                  {db01, "", dhcpv4.Options{77: []byte("iPXE")}, script + "52-54-00-00-00-02.ipxe", "boot script"},
		"iPXE by RFC 3004":                    {db01, "", dhcpv4.Options{77: []byte("\x04iPXE")}, script + "52-54-00-00-00-02.ipxe", "boot script"},
		"iPXE without HTTP":                   {db01, "", ipxe("\x12\x01\x01"), "undionly.kpxe", "has no HTTP"},
		"unknown, discovery":                  {stranger, "", pxe(7), "snponly.efi", "to be discovered"},
		"unknown, no discovery":               {stranger, "10.9.0.1", pxe(7), "", "unknown and 10.9.0.0/24 does not allow discovery"},
		"known, no discovery":                 {db01, "10.9.0.1", pxe(7), "snponly.efi", "for db-01"},
		"unknown iPXE elsewhere":              {stranger, "10.9.0.1", ipxe("\x13\x01\x01"), "", "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			a := builtin.Decide(say{kind: discover, mac: c.mac, giaddr: c.giaddr, options: c.options}.request(t), site(t))
			if a.Reply == nil {
				t.Fatal(a.Reason)
			}
			if a.Reply.BootFileName != c.want || string(a.Reply.Options[67]) != c.want {
				t.Errorf("file %q, option 67 %q; want %q: %s", a.Reply.BootFileName, a.Reply.Options[67], c.want, a.Reason)
			}
			if !strings.Contains(a.Reason, c.why) {
				t.Errorf("the reason %q does not say %q", a.Reason, c.why)
			}
			if got, boots := a.Reply.ServerIPAddr.String(), c.want != ""; boots != (got == "10.0.0.1") {
				t.Errorf("next server %s", got)
			}
			bootOptions(t, a.Reply, c.options, c.want)
		})
	}
}

// bootOptions checks options 60, 97 and 175.
func bootOptions(t *testing.T, reply *dhcpv4.DHCPv4, asked dhcpv4.Options, file string) {
	t.Helper()
	http := strings.HasPrefix(string(asked[60]), "HTTPClient")
	if got := string(reply.Options[60]); http && got != "HTTPClient" || !http && got != "" {
		t.Errorf("option 60 is %q", got)
	}
	if isIPXE := asked[77] != nil; isIPXE != (string(reply.Options[175]) == "\xb0\x01\x01") {
		t.Errorf("option 175 is %x", reply.Options[175])
	}
	if file != "" && string(reply.Options[97]) != string(asked[97]) {
		t.Errorf("option 97 is %x (RFC 4578 section 2.3)", reply.Options[97])
	}
}
