package lldp_test

import (
	"encoding/hex"
	"net"
	"strings"
	"testing"

	"sprout"
	"sprout/lldp"
)

var (
	port    = net.HardwareAddr{0x52, 0x54, 0, 0, 0, 1}
	chassis = net.HardwareAddr{0x44, 0x38, 0x39, 0, 0, 1}
)

// cumulus is a frame as switches send it: chassis by MAC, port by name, a
// description, a system name and description, capabilities, an address, and the
// VLAN of untagged frames.
const cumulus = "0180c200000e443839000007" + "88cc" +
	"0207" + "04443839000001" + "0405" + "0573777037" + "0602" + "0078" + "0805" + "746f206d37" + "0a06" + "6c6561662d31" +
	"0c05" + "4c696e7578" + "0e04" + "00140014" + "100c" + "0501c0000201020000000100" + "fe06" + "0080c2010064" + "0000"

func TestParse(t *testing.T) {
	frame, err := hex.DecodeString(cumulus)
	if err != nil {
		t.Fatal(err)
	}
	want := sprout.Neighbour{Chassis: "44:38:39:00:00:01", Port: "swp7", System: "leaf-1", Description: "to m7", VLAN: 100}
	if n, gone, err := lldp.Parse(frame); err != nil || gone || n != want {
		t.Errorf("got %+v, %t, %v; want %+v", n, gone, err, want)
	}
	for n := range len(frame) - 1 {
		if got, _, err := lldp.Parse(frame[:n]); sprout.KindOf(err) != sprout.Invalid {
			t.Errorf("of %d bytes it read %+v, %v", n, got, err)
		}
	}
	for name, row := range map[string]struct{ frame, want string }{
		"another protocol": {strings.Replace(cumulus, "88cc", "0800", 1), "not of LLDP"},
		"no chassis first": {strings.Replace(cumulus, "020704", "040704", 1), "TLV 1 is of type 2"},
		"too many":         {cumulus[:28+18+14+8] + strings.Repeat("0c00", 200), "more than 128"},
	} {
		raw, err := hex.DecodeString(row.frame)
		if err != nil {
			t.Fatal(err)
		}
		if n, _, err := lldp.Parse(raw); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %+v, %v", name, n, err)
		}
	}
}

func TestFrameIsRead(t *testing.T) {
	for _, row := range []struct {
		name, system string
		seconds      uint16
		want         sprout.Neighbour
	}{
		{"swp1", "leaf-1", 120, sprout.Neighbour{Chassis: chassis.String(), Port: "swp1", System: "leaf-1"}},
		{"", "", 0, sprout.Neighbour{Chassis: chassis.String(), Port: port.String()}},
		{"\x1b[31mred", "a\x00b", 1, sprout.Neighbour{Chassis: chassis.String(), Port: "[31mred", System: "ab"}},
	} {
		frame := lldp.Frame(port, chassis, row.name, row.system, row.seconds)
		if n, gone, err := lldp.Parse(frame); err != nil || n != row.want || gone != (row.seconds == 0) || len(frame) < 60 {
			t.Errorf("%q: got %+v, %t, %v in %d bytes", row.name, n, gone, err, len(frame))
		}
	}
}

func FuzzParse(f *testing.F) {
	frame, err := hex.DecodeString(cumulus)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frame)
	f.Add(lldp.Frame(port, chassis, "swp1", "leaf-1", 120))
	f.Fuzz(func(t *testing.T, frame []byte) {
		n, _, err := lldp.Parse(frame)
		if err != nil {
			return
		}
		if n.Chassis == "" || n.Port == "" {
			t.Errorf("a neighbour without a name: %+v", n)
		}
		for _, s := range []string{n.Chassis, n.Port, n.System, n.Description} {
			if len(s) > 1022 || strings.ContainsAny(s, "\x00\n\x1b") {
				t.Errorf("text as it came: %q", s)
			}
		}
	})
}
