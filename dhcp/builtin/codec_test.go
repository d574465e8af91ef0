package builtin

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// message is a DISCOVER with the options after its header.
func message(options ...byte) []byte {
	p, _ := dhcpv4.NewDiscovery([]byte{2, 0, 0, 0, 0, 1})
	return append(p.ToBytes()[:atOptions], options...)
}

// parsed reads a message.
func parsed(wire []byte) (*dhcpv4.DHCPv4, error) {
	p := &dhcpv4.DHCPv4{}
	return p, parse(p, wire)
}

// TestParts: an option that came in parts is one (RFC 3396), and options may
// stand where the boot file and the server name are (RFC 2132 section 9.3).
func TestParts(t *testing.T) {
	overloaded := message(53, 1, 1, 52, 1, 3, 60, 1, 'a', 255)
	copy(overloaded[atFile:], []byte{60, 1, 'b', 0, 255})
	copy(overloaded[atServerName:], []byte{60, 1, 'c', 12, 1, 'h', 255})
	for _, c := range []struct {
		name  string
		wire  []byte
		code  uint8
		value string
		wrong string
	}{
		{"in one part", message(60, 3, 'a', 'b', 'c', 255), 60, "abc", ""},
		{"in parts with another between", message(60, 2, 'a', 'b', 12, 1, 'h', 60, 1, 'c', 255), 60, "abc", ""},
		{"with padding", message(0, 0, 60, 1, 'a', 0, 255, 60, 1, 'b'), 60, "a", ""},
		{"without an end", message(60, 1, 'a'), 60, "a", ""},
		{"in the fields of file and name", overloaded, 60, "abc", ""},
		{"another of those fields", overloaded, 12, "h", ""},
		{"too long", message(60, 9, 'a', 255), 0, "", "option 60"},
		{"without a length", message(60), 0, "", "option 60"},
		{"no DHCP", make([]byte, 300), 0, "", "no DHCP"},
		{"nothing", nil, 0, "", "no DHCP"},
	} {
		p, err := parsed(c.wire)
		switch {
		case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)):
			t.Errorf("%s: %v, want an error about %s", c.name, err, c.wrong)
		case c.wrong == "" && (err != nil || string(p.Options[c.code]) != c.value):
			t.Errorf("%s: %v, %v; want %q", c.name, p, err, c.value)
		}
	}
}

// TestWritten: the library reads what is written as it was meant, a long option
// in parts, and the relay's comes last.
func TestWritten(t *testing.T) {
	p, err := parsed(message(53, 1, 1, 82, 3, 1, 1, 'p', 60, 1, 'a', 255))
	if err != nil {
		t.Fatal(err)
	}
	long := bytes.Repeat([]byte("x"), 700)
	p.Options[43], p.Options[12], p.BootFileName = long, nil, "undionly.kpxe"
	wire := appendMessage(nil, p)
	if !bytes.Contains(wire, []byte{82, 3, 1, 1, 'p', 255}) {
		t.Error("the relay's option is not the last")
	}
	if n := bytes.Count(wire, append([]byte{43, 255}, long[:255]...)); n != 2 {
		t.Errorf("700 bytes have %d full parts, want 2", n)
	}
	back, err := dhcpv4.FromBytes(wire)
	if err != nil || !bytes.Equal(back.Options[43], long) || back.BootFileName != p.BootFileName || !bytes.Equal(back.ClientHWAddr, p.ClientHWAddr) || back.TransactionID != p.TransactionID {
		t.Errorf("the library reads %v, %v", back, err)
	}
	if short := appendMessage(nil, &dhcpv4.DHCPv4{}); len(short) != leastSize {
		t.Errorf("an empty message has %d bytes", len(short))
	}
}

// FuzzParse: what can be read can be written, and is then read as before; the
// library reads the same.
func FuzzParse(f *testing.F) {
	f.Add(message(53, 1, 1, 255))
	f.Add(message(60, 2, 'a', 'b', 60, 1, 'c', 82, 2, 1, 0, 255))
	f.Add(message(52, 1, 3, 255))
	files, err := filepath.Glob("testdata/captures/*.hex")
	if err != nil || len(files) < 10 {
		f.Fatalf("%d captures: %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		wire, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			f.Fatalf("%s: %v", file, err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		p, err := parsed(wire)
		if err != nil {
			return
		}
		delete(p.Options, optionOverload) // what it says is done
		again, err := parsed(appendMessage(nil, p))
		if err != nil {
			t.Fatalf("cannot read what was written: %v", err)
		}
		if len(again.Options) != len(p.Options) {
			t.Errorf("%d options became %d", len(p.Options), len(again.Options))
		}
		for code, v := range p.Options {
			if !bytes.Equal(again.Options[code], v) {
				t.Errorf("option %d: %x became %x", code, v, again.Options[code])
			}
		}
		library, err := dhcpv4.FromBytes(appendMessage(nil, p))
		if err != nil || library.TransactionID != p.TransactionID || !bytes.Equal(library.ClientHWAddr, p.ClientHWAddr) {
			t.Errorf("the library reads %v, %v", library, err)
		}
	})
}
