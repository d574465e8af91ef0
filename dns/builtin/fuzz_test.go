package builtin

import (
	"context"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"sprout"
	"sprout/dns/zone"
)

// nowhere takes updates and forgets them.
type nowhere struct{}

func (nowhere) UpdateNames(context.Context, []sprout.Record, []sprout.Record) error { return nil }

// FuzzExchange sends any message to what answers transfers, updates and the
// rest, as one whose signature was good: each is answered by messages that can be
// read, or not at all.
func FuzzExchange(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.hex")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		wire, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire, true)
		f.Add(wire, false)
	}
	db := zone.New()
	db.Load(zone.Layout{Domain: "lon1.example", Agent: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}, slices.Values([]sprout.Record{
		{Name: "web-01.lon1.example", IP: netip.MustParseAddr("10.0.0.5"), TTL: 60},
		{Name: "dyn.lon1.example", Type: "A", Data: "10.0.0.77", TTL: 60, Source: sprout.UpdateRecord},
	}), 8)
	policy := NewPolicy()
	policy.Set(NewRules(sprout.DNSPolicy{Transfer: []string{"0.0.0.0/0"}, Update: []string{"key:ddns"}}, nil, nil))
	s, err := NewServer(ServerConfig{Addresses: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, Zones: db, Rules: policy, Updates: nowhere{}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, wire []byte, tcp bool) {
		x := &exchange{wire: wire, client: netip.MustParseAddrPort("10.0.0.9:999"), tcp: tcp}
		x.send = func(m []byte) error {
			if err := new(dns.Msg).Unpack(m); err != nil {
				t.Errorf("%x is answered by %x, which cannot be read: %v", wire, m, err)
			}
			if !tcp && len(m) > zone.MaxUDP {
				t.Errorf("%x is answered by %d octets", wire, len(m))
			}
			return nil
		}
		s.handle(t.Context(), x)
		if x.query == nil || x.query.Opcode != dns.OpcodeUpdate {
			return
		}
		x.key = "ddns" // past the signature, which no fuzzer makes
		s.update(t.Context(), x)
	})
}
