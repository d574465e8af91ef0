package probe

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sprout/dhcp/dhcptest"
)

func addresses(texts ...string) (list []netip.Addr) {
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

// TestFind has the kernel of another network answer for the addresses that it
// has, and be silent for those that it has not.
func TestFind(t *testing.T) {
	if dhcptest.Isolate(t) {
		return
	}
	const squatter = "52:54:00:00:00:09"
	peer := dhcptest.Veth(t, "prb", "10.20.0.1/24", squatter)
	peer.Run(t, "ip", "addr", "add", "10.20.0.50/24", "dev", peer.Device)
	peer.Run(t, "ip", "addr", "add", "fd00:20::50/64", "dev", peer.Device, "nodad")
	ask := addresses("10.20.0.50", "10.20.0.51", "fd00:20::50", "fd00:20::51", "10.20.0.1")
	began := time.Now()
	found, err := Find(t.Context(), "prb", ask)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 2 || found[ask[0]] != squatter || found[ask[2]] != squatter {
		t.Errorf("found %v", found)
	}
	if took := time.Since(began); took > 2*Takes {
		t.Errorf("it took %s", took)
	}
	if out := peer.Run(t, "ip", "neigh"); strings.Contains(out, "10.20.0.1 ") {
		t.Errorf("who was asked has learnt of the asker: %s", out)
	}
	if found, err = Find(t.Context(), "prb", ask, squatter); err != nil || len(found) != 0 {
		t.Errorf("the machine itself has them: found %v, %v", found, err)
	}
	if _, err := Find(t.Context(), "none", ask); err == nil {
		t.Error("a device that is not there was asked")
	}
	over, end := context.WithCancel(t.Context())
	end()
	began = time.Now()
	if _, err := Find(over, "prb", ask); err != nil || time.Since(began) > Takes/2 {
		t.Errorf("asked for %s after its end: %v", time.Since(began), err)
	}
}

// Whoever asks for the same address in the same way wants it too; whoever asks
// for another, or is of another link, says nothing.
func TestFramesOfOthers(t *testing.T) {
	mac, ip4, ip6 := net.HardwareAddr{2, 0, 0, 0, 0, 1}, netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("fd00::9")
	reply := arpProbe(mac, netip.MustParseAddr("10.0.0.1"))
	copy(reply[arp+14:], ip4.AsSlice())
	routed, asks := solicitation(mac, ip6), solicitation(mac, ip6)
	routed[21] = 64
	asks[37] = 1 // from an address: it wants to talk
	answer := append(solicitation(mac, ip6), targetLinkLayer, 1, 2, 0, 0, 0, 0, 7)
	answer[icmp6] = neighbourAdvertisement
	for name, c := range map[string]struct {
		read  func([]byte) (netip.Addr, net.HardwareAddr)
		frame []byte
		ip    netip.Addr
		mac   string
	}{
		"a probe":                  {readARP, arpProbe(mac, ip4), ip4, "02:00:00:00:00:01"},
		"a sender":                 {readARP, reply, ip4, "02:00:00:00:00:01"},
		"half of it":               {readARP, reply[:30], netip.Addr{}, ""},
		"detection":                {readNeighbour, solicitation(mac, ip6), ip6, "02:00:00:00:00:01"},
		"an advertisement":         {readNeighbour, answer, ip6, "02:00:00:00:00:07"},
		"of another link":          {readNeighbour, routed, netip.Addr{}, ""},
		"who wants to talk":        {readNeighbour, asks, netip.Addr{}, ""},
		"an option without an end": {readNeighbour, append(answer[:icmp6Bytes:icmp6Bytes], targetLinkLayer, 9), ip6, "02:00:00:00:00:01"},
	} {
		if ip, got := c.read(c.frame); ip != c.ip || got.String() != c.mac {
			t.Errorf("%s: %s, %s", name, ip, got)
		}
	}
	if sum := checksum(solicitation(mac, ip6)); sum != 0 {
		t.Errorf("the checksum of a whole packet is %#x, not 0 (RFC 1071)", sum)
	}
}
