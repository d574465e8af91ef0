// Package neighbour tells whose MAC the kernel sends what goes to an address on a
// link. It must not know what is sent, nor who ought to have the address.
package neighbour

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Takes is how long an address that the kernel does not know yet is waited for:
// the kernel itself asks three times, a second apart (RFC 4861 section 10,
// RETRANS_TIMER; Linux does the same for ARP).
const Takes = 3 * time.Second

// known are the states in which the kernel sends to the MAC that it has.
const known = unix.NUD_PERMANENT | unix.NUD_NOARP | unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE

// errNobody is of an address that no host on the link answers for.
var errNobody = errors.New("no host on the link answers for it")

// Of returns the MAC (lower case, colons) that has the address, as the kernel's
// table has it, and where it has nothing, once it has asked. Empty: the address is
// behind a router, of this host, or on a link without MACs. An error says that it
// cannot be known. Its sockets belong to the network namespace of the calling
// thread.
func Of(ctx context.Context, ip netip.Addr) (string, error) {
	ip = ip.Unmap().WithZone("")
	device, err := direct(ip)
	if device == 0 || err != nil {
		return "", err
	}
	if mac, err := look(device, ip); mac != "" || err != nil {
		return mac, err
	}
	return ask(ctx, device, ip)
}

// direct is the device on whose link the address is; 0: it is on none that has
// MACs.
func direct(ip netip.Addr) (int, error) {
	routes, err := netlink.RouteGet(ip.AsSlice())
	if err != nil {
		return 0, fmt.Errorf("the kernel has no route to it: %w", err)
	}
	if len(routes) == 0 {
		return 0, errors.New("the kernel has no route to it")
	}
	if routes[0].Gw != nil || routes[0].Via != nil {
		return 0, nil
	}
	ifi, err := net.InterfaceByIndex(routes[0].LinkIndex)
	if err != nil {
		return 0, err
	}
	if len(ifi.HardwareAddr) == 0 || ifi.Flags&(net.FlagLoopback|net.FlagPointToPoint) != 0 {
		return 0, nil
	}
	return ifi.Index, nil
}

// look reads one entry of the kernel's table (RTM_GETNEIGH of a destination: Linux
// 5.0); empty: it has none that is good.
func look(device int, ip netip.Addr) (string, error) {
	q := nl.NewNetlinkRequest(unix.RTM_GETNEIGH, 0)
	q.AddData(&netlink.Ndmsg{Family: family(ip), Index: uint32(device)}) //nolint:gosec // an index of a device is small and not negative
	q.AddData(nl.NewRtAttr(netlink.NDA_DST, ip.AsSlice()))
	answers, err := q.Execute(unix.NETLINK_ROUTE, 0)
	if errors.Is(err, unix.ENOENT) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("the kernel does not tell who has it: %w", err)
	}
	for _, answer := range answers {
		n, err := netlink.NeighDeserialize(answer)
		if err != nil {
			return "", err
		}
		if mac := macOf(n); mac != "" {
			return mac, nil
		}
	}
	return "", nil
}

// ask has the kernel ask the link, by a datagram to the port whose service throws
// away what it gets (RFC 863), and waits for the entry.
func ask(ctx context.Context, device int, ip netip.Addr) (string, error) {
	ctx, stop := context.WithTimeout(ctx, Takes)
	defer stop()
	changes := make(chan netlink.NeighUpdate)
	if err := netlink.NeighSubscribe(changes, ctx.Done()); err != nil {
		return "", fmt.Errorf("the kernel does not tell who has it: %w", err)
	}
	defer func() {
		stop()
		for range changes { //nolint:revive // its sender ends once it has seen that the time is over
		}
	}()
	conn, err := net.Dial("udp", netip.AddrPortFrom(ip, 9).String())
	if err != nil {
		return "", err
	}
	defer conn.Close() //nolint:errcheck // nothing is waited for
	if _, err := conn.Write([]byte{0}); err != nil {
		return "", err
	}
	if mac, err := look(device, ip); mac != "" || err != nil {
		return mac, err // it was told between the first look and the subscription
	}
	for {
		select {
		case c := <-changes:
			at, _ := netip.AddrFromSlice(c.IP)
			if mac := macOf(&c.Neigh); c.LinkIndex == device && at.Unmap() == ip && mac != "" {
				return mac, nil
			}
		case <-ctx.Done():
			return "", errNobody
		}
	}
}

// macOf is the MAC of an entry that is used; empty: there is none.
func macOf(n *netlink.Neigh) string {
	if n.State&known == 0 || len(n.HardwareAddr) == 0 {
		return ""
	}
	return n.HardwareAddr.String()
}

func family(ip netip.Addr) uint8 {
	if ip.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
