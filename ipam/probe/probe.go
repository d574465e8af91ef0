// Package probe asks a link who uses an address: by ARP probes (RFC 5227) and by
// the neighbour solicitations of duplicate address detection (RFC 4862), which
// leave no trace in the tables of others. It must not know what the addresses
// are for.
package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"sprout"
)

// An address is asked for so often, so far apart, and an answer is waited for
// until Takes is over. RFC 5227 section 2.1.1 has a host that has just been
// plugged in wait up to seven seconds; the sender here has been on its link for
// long.
const (
	times = 3
	apart = 300 * time.Millisecond
	Takes = time.Second
)

// Find asks the link of the network device for all addresses at once, and
// returns the MAC of who has each one that somebody has. Whoever has one of own
// (MACs) is passed over, and so is this host. A host that asks for the same
// address in the same way has it as much as one that answers (RFC 5227 section
// 2.1.1, RFC 4862 section 5.4.3). Its sockets belong to the network namespace of
// the calling thread. Unavailable if it cannot ask: that needs CAP_NET_RAW.
func Find(ctx context.Context, device string, ips []netip.Addr, own ...string) (map[netip.Addr]string, error) {
	ifi, err := net.InterfaceByName(device)
	if err == nil && len(ifi.HardwareAddr) != 6 {
		err = errors.New("it is not Ethernet")
	}
	if err != nil {
		return nil, sprout.Errorf(sprout.Unavailable, "cannot probe addresses on %s: %w", device, err)
	}
	a := &asking{mac: ifi.HardwareAddr, own: own, found: map[netip.Addr]string{}}
	for _, ip := range ips {
		if ip = ip.Unmap(); ip.Is4() {
			a.v4 = append(a.v4, ip)
		} else if ip.IsValid() {
			a.v6 = append(a.v6, ip)
		}
	}
	ctx, stop := context.WithTimeout(ctx, Takes)
	defer stop()
	var all sync.WaitGroup
	var errs [2]error
	all.Go(func() { errs[0] = a.ask(ctx, ifi, unix.ETH_P_ARP, nil, a.v4, arpProbe, readARP) })
	all.Go(func() { errs[1] = a.ask(ctx, ifi, unix.ETH_P_IPV6, neighbours, a.v6, solicitation, readNeighbour) })
	all.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return nil, sprout.Errorf(sprout.Unavailable, "cannot probe addresses on %s: %w", device, err)
	}
	return a.found, nil
}

// An asking is who has been found so far.
type asking struct {
	mac    net.HardwareAddr
	own    []string
	v4, v6 []netip.Addr

	mu    sync.Mutex
	found map[netip.Addr]string
}

// ask sends the frames of each address and hears who has them, until ctx ends.
func (a *asking) ask(ctx context.Context, ifi *net.Interface, protocol int, filter []bpf.RawInstruction, ips []netip.Addr,
	frame func(net.HardwareAddr, netip.Addr) []byte, read func([]byte) (netip.Addr, net.HardwareAddr),
) error {
	if len(ips) == 0 {
		return nil
	}
	conn, err := packet.Listen(ifi, packet.Raw, protocol, &packet.Config{Filter: filter})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	hear := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer hear()
	var hearing sync.WaitGroup
	defer hearing.Wait()
	hearing.Go(func() {
		buf := make([]byte, 1<<11)
		for {
			n, _, err := conn.ReadFrom(buf)
			if err != nil {
				if !errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
					continue // the device went down for a moment: ctx ends it
				}
				return
			}
			if ip, mac := read(buf[:n]); slices.Contains(ips, ip) {
				a.has(ip, mac)
			}
		}
	})
	for i := range times {
		if i > 0 && sprout.Pause(ctx, apart) != nil {
			break
		}
		for _, ip := range ips {
			f := frame(a.mac, ip)
			if _, err := conn.WriteTo(f, &packet.Addr{HardwareAddr: f[:6]}); err != nil {
				_ = conn.SetReadDeadline(time.Unix(1, 0))
				return err
			}
		}
	}
	<-ctx.Done()
	return nil
}

// has notes who has an address; the first to say so counts.
func (a *asking) has(ip netip.Addr, mac net.HardwareAddr) {
	if slices.Equal(mac, a.mac) || slices.Contains(a.own, mac.String()) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.found[ip] == "" {
		a.found[ip] = mac.String()
	}
}
