// Package advert advertises how IPv6 is had on the provisioning network: router
// advertisements of RFC 4861, with the name servers of RFC 8106. Where there is
// nothing to say it says just that, for iPXE waits some 15 s for any word before
// it goes on over IPv4. It must not know the site: it is told what to say.
package advert

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"sprout"
)

// A Word is what is advertised. The zero Word says that there is no router and
// nothing to configure here.
type Word struct {
	Stateful bool          // addresses, and all else, are had by DHCPv6: the flags M and O
	Other    bool          // all else is had by DHCPv6: the flag O alone
	Router   time.Duration // how long the sender is a default router; 0: it is none
	Low      bool          // any other router is to be preferred (RFC 4191 section 2.2)
	Prefixes []Prefix
	MTU      int // bytes; 0: not said
	DNS      []netip.Addr
	Search   []string // domains
}

// A Prefix is one whose addresses are neighbours.
type Prefix struct {
	netip.Prefix
	Autonomous bool // hosts may make addresses of it by themselves (RFC 4862)
}

// A Config says where to advertise, and what.
type Config struct {
	Interface string
	// Say is what to advertise: to somebody who asks, or to all now and then.
	Say func(asked bool) Word
	// Every is the longest time between two that nobody asked for; 0: 200 s,
	// which RFC 4861 section 6.2.1 allows.
	Every time.Duration
	Log   *slog.Logger
}

// maxReadFailures is how many reads in a row may fail before the socket counts
// as broken.
const maxReadFailures = 16

// Serve answers solicitations on the network device, and advertises now and
// then, until ctx ends: nil after that, else why it cannot. Its socket belongs
// to the network namespace of the calling thread.
func Serve(ctx context.Context, c Config) error {
	if c.Every == 0 {
		c.Every = 200 * time.Second
	}
	conn, ifi, err := listen(ctx, c.Interface)
	if err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot answer router solicitations on %s: %w", c.Interface, err)
	}
	s := &sender{Config: c, conn: conn, mac: ifi.HardwareAddr, all: &net.IPAddr{IP: net.IPv6linklocalallnodes, Zone: ifi.Name}}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	var running sync.WaitGroup
	running.Go(func() { s.repeat(ctx) })
	err = s.answer()
	stopped := ctx.Err() != nil
	cancel()
	running.Wait()
	stop()
	_ = conn.Close()
	if stopped {
		return nil
	}
	return sprout.Errorf(sprout.Unavailable, "cannot read router solicitations on %s: %w", c.Interface, err)
}

// listen opens an ICMPv6 socket on the device that receives solicitations only.
func listen(ctx context.Context, device string) (*ipv6.PacketConn, *net.Interface, error) {
	ifi, err := net.InterfaceByName(device)
	if err != nil {
		return nil, nil, err
	}
	bind := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		controlErr := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), device) })
		return errors.Join(controlErr, err)
	}}
	raw, err := bind.ListenPacket(ctx, "ip6:ipv6-icmp", "::")
	if err != nil {
		return nil, nil, err
	}
	conn := ipv6.NewPacketConn(raw)
	var only ipv6.ICMPFilter
	only.SetAll(true)
	only.Accept(ipv6.ICMPTypeRouterSolicitation)
	const fromNeighbour = 255 // RFC 4861 section 6.1.2
	err = errors.Join(conn.SetICMPFilter(&only), conn.SetMulticastHopLimit(fromNeighbour), conn.SetHopLimit(fromNeighbour),
		conn.SetMulticastInterface(ifi), conn.JoinGroup(ifi, &net.IPAddr{IP: net.IPv6linklocalallrouters}))
	if err != nil {
		_ = raw.Close()
		return nil, nil, err
	}
	return conn, ifi, nil
}

// A sender sends what there is to say.
type sender struct {
	Config
	conn *ipv6.PacketConn
	mac  net.HardwareAddr
	all  *net.IPAddr
}

// answer answers each solicitation to all, so one answer serves many, and at
// once: the delays of RFC 4861 section 6.2.6 keep routers from speaking at the
// same time, and here a machine's boot waits.
func (s *sender) answer() error {
	buf := make([]byte, 1500)
	for failures := 0; ; {
		if _, _, _, err := s.conn.ReadFrom(buf); err != nil {
			if failures++; errors.Is(err, net.ErrClosed) || failures == maxReadFailures {
				return err
			}
			continue
		}
		failures = 0
		s.send(s.Say(true))
	}
}

// repeat advertises now and then, as long as there is something to say.
func (s *sender) repeat(ctx context.Context) {
	for {
		if w := s.Say(false); w.Stateful || len(w.Prefixes) > 0 {
			s.send(w)
		}
		if sprout.Pause(ctx, s.Every*3/4+rand.N(s.Every/4)) != nil {
			return
		}
	}
}

func (s *sender) send(w Word) {
	if _, err := s.conn.WriteTo(w.wire(s.mac, s.Every), nil, s.all); err != nil {
		s.Log.Debug("cannot send a router advertisement", "error", err)
	}
}

// The options of an advertisement (RFC 4861 section 4.6, RFC 8106 section 5).
const (
	sourceLink = 1
	prefixInfo = 3
	mtu        = 5
	nameServer = 25
	searchList = 31
)

// wire writes the advertisement (RFC 4861 section 4.2). The kernel writes the
// checksum. Names are good for three of the longest intervals, prefixes for the
// month and week that the RFC proposes.
func (w Word) wire(mac net.HardwareAddr, every time.Duration) []byte {
	const advertisement, managed, other, low, onLink, autonomous = 134, 0x80, 0x40, 0x18, 0x80, 0x40
	b := make([]byte, 16, 256)
	b[0] = advertisement
	if w.Stateful {
		b[5] = managed | other
	}
	if w.Other {
		b[5] |= other
	}
	if w.Low {
		b[5] |= low
	}
	binary.BigEndian.PutUint16(b[6:], uint16(w.Router/time.Second))
	if len(mac) == 6 && (w.Stateful || len(w.Prefixes) > 0) {
		b = append(append(b, sourceLink, 1), mac...)
	}
	for _, p := range w.Prefixes {
		flags := byte(onLink)
		if p.Autonomous {
			flags |= autonomous
		}
		b = append(b, prefixInfo, 4, byte(p.Bits()), flags)
		b = binary.BigEndian.AppendUint32(b, 30*24*3600) // valid
		b = binary.BigEndian.AppendUint32(b, 7*24*3600)  // preferred
		b = append(append(b, 0, 0, 0, 0), p.Masked().Addr().AsSlice()...)
	}
	if w.MTU > 0 {
		b = binary.BigEndian.AppendUint32(append(b, mtu, 1, 0, 0), uint32(w.MTU))
	}
	good := uint32(3 * every / time.Second)
	if len(w.DNS) > 0 {
		b = binary.BigEndian.AppendUint32(append(b, nameServer, byte(1+2*len(w.DNS)), 0, 0), good)
		for _, ip := range w.DNS {
			b = append(b, ip.AsSlice()...)
		}
	}
	if names := domains(w.Search); len(names) > 0 {
		b = binary.BigEndian.AppendUint32(append(b, searchList, byte(1+len(names)/8), 0, 0), good)
		b = append(b, names...)
	}
	return b
}

// domains writes names as RFC 1035 section 3.1 has them, filled up with zeroes
// to eights.
func domains(names []string) (b []byte) {
	for _, name := range names {
		for label := range strings.SplitSeq(strings.Trim(name, "."), ".") {
			if label == "" || len(label) > 63 {
				return nil
			}
			b = append(append(b, byte(len(label))), label...)
		}
		b = append(b, 0)
	}
	for len(b)%8 > 0 {
		b = append(b, 0)
	}
	return b
}
