package zone_test

import (
	"fmt"
	"net/netip"
	"testing"

	"sprout"
	"sprout/dns"
	"sprout/dns/zone"
)

// BenchmarkRespond answers ordinary queries of a zone of 10,000 names that is not
// signed: with and without the DO bit.
func BenchmarkRespond(b *testing.B) {
	db := zone.New()
	db.Load(layout("10.0.0.0/16"), func(yield func(sprout.Record) bool) {
		for i := range 10_000 {
			if !yield(sprout.Record{Name: fmt.Sprintf("m%d.lon1.example", i), IP: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), TTL: 60}) {
				return
			}
		}
	}, 1)
	query := append([]byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1}, dns.Wire("m4711.lon1.example")...)
	query = append(query, 0, 1, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0)
	for name, flag := range map[string]byte{"plain": 0, "DO": 0x80} {
		b.Run(name, func(b *testing.B) {
			reader, m, out := db.NewReader(), append([]byte(nil), query...), make([]byte, zone.MaxUDP)
			m[len(m)-4] = flag
			for b.Loop() {
				reader.Lock()
				n := reader.Respond(m, out, true)
				reader.Unlock()
				if n == 0 {
					b.Fatal("it is not answered")
				}
			}
		})
	}
}
