package system

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sprout"
	"sprout/lldp"
)

// Neighbours are what the other ends of this machine's cables say of themselves.
type Neighbours struct {
	fd  int
	log *slog.Logger

	mu    sync.Mutex
	ports map[int]*cabled // by index of the device
	news  chan struct{}   // has one when somebody was heard
}

// A cabled is one port.
type cabled struct {
	mac   net.HardwareAddr
	name  string
	link  bool
	sent  int // frames since it has a link
	last  time.Time
	heard *sprout.Neighbour
}

const (
	// Somebody new on a cable is answered within a second (fast start, clause
	// 9.2.5.22 of IEEE 802.1AB-2016); so a port says thrice that it is new, and then
	// as often as all do.
	announceFast  = time.Second
	announceTimes = 3
	announceEvery = 30 * time.Second
	announceTTL   = 120 // seconds
	lookEvery     = announceFast / 4
	frameSize     = 1600
)

// ListenLLDP hears and speaks LLDP on every port until the context ends.
func ListenLLDP(ctx context.Context, log *slog.Logger) (*Neighbours, error) {
	const protocol = lldp.EtherType>>8 | lldp.EtherType&0xff<<8 // as on the wire
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for LLDP: %w", err)
	}
	timeout := unix.NsecToTimeval(int64(lookEvery))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot listen for LLDP: %w", err), unix.Close(fd))
	}
	n := &Neighbours{fd: fd, log: log, ports: map[int]*cabled{}, news: make(chan struct{}, 1)}
	n.look()
	go n.listen(ctx)
	return n, nil
}

// listen reads frames, and between them looks after the ports.
func (n *Neighbours) listen(ctx context.Context) {
	defer unix.Close(n.fd) //nolint:errcheck // only waited on
	buf := make([]byte, frameSize)
	looked := time.Now()
	for ctx.Err() == nil {
		size, from, err := unix.Recvfrom(n.fd, buf, 0)
		if at, ok := from.(*unix.SockaddrLinklayer); err == nil && ok && at.Pkttype != unix.PACKET_OUTGOING {
			n.hear(at.Ifindex, buf[:size])
		} else if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ENETDOWN) {
			n.log.Warn("cannot hear LLDP any more", "error", err)
			return
		}
		if time.Since(looked) >= lookEvery { // however many frames come
			n.look()
			looked = time.Now()
		}
	}
}

// hear keeps what a frame says of the port that it came to.
func (n *Neighbours) hear(index int, frame []byte) {
	who, gone, err := lldp.Parse(frame)
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.ports[index]
	if err != nil || p == nil {
		n.log.Debug("a frame of LLDP is of no use", "error", err)
		return
	}
	who.MAC = p.mac.String()
	if gone {
		p.heard = nil
		return
	}
	if p.heard == nil || *p.heard != who {
		n.log.Info("a cable leads to", "port", p.name, "mac", who.MAC, "neighbour", who.String(), "description", who.Description)
	}
	p.heard = &who
	select {
	case n.news <- struct{}{}:
	default: // it has news already
	}
}

// look finds new ports and links, and says on each who we are when it is time.
func (n *Neighbours) look() {
	links, err := netlink.LinkList()
	if err != nil {
		return // it is looked for again
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range links {
		a := l.Attrs()
		if len(a.HardwareAddr) != 6 || a.Flags&net.FlagLoopback != 0 {
			continue
		}
		p := n.ports[a.Index]
		if p == nil {
			p = &cabled{mac: a.HardwareAddr, name: a.Name}
			n.ports[a.Index] = p
			group := unix.PacketMreq{Ifindex: int32(a.Index), Type: unix.PACKET_MR_MULTICAST, Alen: 6}
			copy(group.Address[:], lldp.Group)
			if err := unix.SetsockoptPacketMreq(n.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &group); err != nil {
				n.log.Warn("cannot hear LLDP", "port", a.Name, "error", err)
			}
		}
		n.announce(a.Index, p, a.RawFlags&unix.IFF_LOWER_UP != 0)
	}
}

func (n *Neighbours) announce(index int, p *cabled, link bool) {
	if p.link = link; !link {
		p.sent, p.heard = 0, nil
		return
	}
	every := announceEvery
	if p.sent < announceTimes {
		every = announceFast
	}
	if p.sent > 0 && time.Since(p.last) < every {
		return
	}
	p.sent, p.last = p.sent+1, time.Now()
	to := &unix.SockaddrLinklayer{Protocol: lldp.EtherType>>8 | lldp.EtherType&0xff<<8, Ifindex: index, Halen: 6}
	copy(to.Addr[:], lldp.Group)
	if err := unix.Sendto(n.fd, lldp.Frame(p.mac, p.mac, p.name, "sprout-ramdisk", announceTTL), 0, to); err != nil {
		n.log.Debug("cannot say by LLDP who we are", "port", p.name, "error", err)
	}
}

// Heard waits until each port that has a link has heard its neighbour, or the time
// has come, and returns who was heard: a switch that is not asked says who it is
// every 30 s, and many say it never.
func (n *Neighbours) Heard(ctx context.Context, until time.Time) []sprout.Neighbour {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	for said := false; ; said = true {
		all, missing := n.all()
		if len(missing) == 0 {
			return all
		}
		if !said && time.Until(until) > announceFast {
			n.log.Info("waiting for the switch to say by LLDP where cables lead", "ports", strings.Join(missing, " "), "for", time.Until(until).Round(time.Second))
		}
		select {
		case <-n.news:
		case <-timer.C:
			return all
		case <-ctx.Done():
			return all
		}
	}
}

// all returns who was heard, in the order of MACs, and the ports that have a link
// and heard nobody.
func (n *Neighbours) all() (list []sprout.Neighbour, missing []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.ports {
		switch {
		case p.heard != nil:
			list = append(list, *p.heard)
		case p.link:
			missing = append(missing, p.name)
		}
	}
	slices.SortFunc(list, func(a, b sprout.Neighbour) int { return strings.Compare(a.MAC, b.MAC) })
	slices.Sort(missing)
	return list, missing
}
