package builtin

import (
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
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

// FuzzTCP sends any bytes over a connection, whole messages and parts, as a client
// that may transfer: what comes back is messages, each of them whole, and the
// connection ends.
func FuzzTCP(f *testing.F) {
	files, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(files) == 0 {
		f.Fatalf("no captures: %v", err)
	}
	var all []byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		wire, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			f.Fatal(err)
		}
		all = append(binary.BigEndian.AppendUint16(all, uint16(len(wire))), wire...)
	}
	f.Add(all)
	f.Add(all[:len(all)-3])
	for _, m := range []*dns.Msg{new(dns.Msg).SetAxfr("lon1.example."), new(dns.Msg).SetIxfr("lon1.example.", 1, "a.", "b.")} {
		wire, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...))
	}
	f.Add([]byte{0, 0, 0, 1, 9, 255, 255})
	db := zone.New()
	db.Load(zone.Layout{Domain: "lon1.example", Agent: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}, slices.Values([]sprout.Record{
		{Name: "web-01.lon1.example", IP: netip.MustParseAddr("10.0.0.5"), TTL: 60},
	}), 8)
	policy := NewPolicy()
	policy.Set(NewRules(sprout.DNSPolicy{Transfer: []string{"0.0.0.0/0"}}, nil, nil))
	s, err := NewServer(ServerConfig{Addresses: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, Zones: db, Rules: policy, Updates: nowhere{}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		client, server := net.Pipe()
		served, read := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(served)
			s.serveConn(t.Context(), server, netip.MustParseAddrPort("10.0.0.9:999"))
			_ = server.Close()
		}()
		go func() {
			defer close(read)
			for {
				m, err := readMessage(client, nil)
				if err != nil {
					return
				}
				if err := new(dns.Msg).Unpack(m); err != nil {
					t.Errorf("%x is answered by %x, which cannot be read: %v", stream, m, err)
				}
			}
		}()
		if _, err := client.Write(stream); err != nil && err != io.ErrClosedPipe {
			t.Error(err)
		}
		_ = client.Close()
		<-served
		<-read
	})
}
