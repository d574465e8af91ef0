package main

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"sprout"
	"sprout/dns/builtin"
	"sprout/dns/zone"
)

// The names that every server has.
const (
	names   = 50_000
	domain  = "lon1.example"
	reverse = "0.10.in-addr.arpa"
	prefix  = "10.0.0.0/16"
)

func hostName(i int) string   { return fmt.Sprintf("web-%05d.%s", i, domain) }
func hostIP(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }

func records() iter.Seq[sprout.Record] {
	return func(yield func(sprout.Record) bool) {
		for i := range names {
			if !yield(sprout.Record{Name: hostName(i), IP: hostIP(i), TTL: 60}) {
				return
			}
		}
	}
}

// serve is Sprout's name server with the names, until it is told to end.
func serve(at string) error {
	address, err := netip.ParseAddrPort(at)
	if err != nil {
		return err
	}
	db := zone.New()
	db.Load(zone.Layout{Domain: domain, Agent: []netip.Addr{address.Addr()}, Subnets: []zone.Subnet{{Prefix: netip.MustParsePrefix(prefix)}}}, records(), 1)
	s, err := builtin.NewServer(builtin.ServerConfig{Addresses: []netip.AddrPort{address}, Zones: db})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return s.Serve(ctx)
}

// write makes the peers' zones and configurations, and the queries: names in any
// order, a fifth of them for addresses, a tenth for what is not there.
func (b *trial) write() error {
	var forward, backward, queries strings.Builder
	for _, z := range []struct {
		origin string
		to     *strings.Builder
	}{{domain, &forward}, {reverse, &backward}} {
		fmt.Fprintf(z.to, "$ORIGIN %s.\n@ 3600 IN SOA agent.%s. hostmaster.%s. 1 3600 600 604800 10\n@ 3600 IN NS agent.%s.\n", z.origin, domain, domain, domain)
	}
	fmt.Fprintf(&forward, "agent 60 IN A 127.0.0.1\n")
	for i := range names {
		ip := hostIP(i).As4()
		fmt.Fprintf(&forward, "web-%05d 60 IN A %s\n", i, hostIP(i))
		fmt.Fprintf(&backward, "%d.%d 60 IN PTR %s.\n", ip[3], ip[2], hostName(i))
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 200_000 {
		i := r.IntN(names)
		ip := hostIP(i).As4()
		switch r.IntN(10) {
		case 0:
			fmt.Fprintf(&queries, "no-%05d.%s A\n", i, domain)
		case 1, 2:
			fmt.Fprintf(&queries, "%d.%d.%s PTR\n", ip[3], ip[2], reverse)
		default:
			fmt.Fprintf(&queries, "%s A\n", hostName(i))
		}
	}
	for file, text := range map[string]string{
		domain: forward.String(), reverse: backward.String(), "queries": queries.String(),
		"nsd.conf": b.nsdConfig(), "Corefile": b.corefile(),
	} {
		if err := os.WriteFile(b.file(file), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}
