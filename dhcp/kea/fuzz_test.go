package kea

import (
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// FuzzSight reads any frame of the device, as what is seen of a boot: of packets
// one after the other, as what one says depends on the one before.
func FuzzSight(f *testing.F) {
	files, err := filepath.Glob("../builtin/testdata/captures/*.hex")
	if err != nil || len(files) == 0 {
		f.Fatalf("no captures: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		wire, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			f.Fatal(err)
		}
		frame := make([]byte, 14+28, 14+28+len(wire))
		frame[12], frame[14], frame[23] = 8, 0x45, 17
		frame[16], frame[17] = byte((28+len(wire))>>8), byte(28+len(wire))
		f.Add(append(frame, wire...))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		from, payload, ok := unwrap(frame)
		if !ok {
			return
		}
		p, err := dhcpv4.FromBytes(payload)
		if err != nil {
			return
		}
		seen := sight{clients: map[string]client{}}
		for range 2 {
			if e, ok := seen.event(p, from); ok && (e.MAC == "" || e.What == "" || e.From != from || !from.Is4() || from == netip.Addr{}) {
				t.Errorf("%x tells of %+v", frame, e)
			}
			p.OpCode = dhcpv4.OpcodeBootReply
		}
	})
}
