// Package advert answers router solicitations of IPv6 with "there is no router
// and nothing to configure here" (RFC 4861 section 4.2, lifetime 0). iPXE waits
// some 15 s for any answer before it goes on over IPv4. It must not know
// subnets: it promises nobody a prefix or a route.
package advert

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"syscall"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"sprout"
)

// nothing is a router advertisement: hop limit unspecified, no DHCPv6, lifetime
// 0 (no default router), times unspecified, no options. The kernel writes the
// checksum.
const nothing = "\x86" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// maxReadFailures is how many reads in a row may fail before the socket counts
// as broken.
const maxReadFailures = 16

// Serve answers solicitations on the network device until ctx ends: nil after
// that, else why it cannot. Its socket belongs to the network namespace of the
// calling thread. Without it machines boot as well, but later.
func Serve(ctx context.Context, device string, log *slog.Logger) error {
	conn, ifi, err := listen(ctx, device)
	if err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot answer router solicitations on %s: %w", device, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close() //nolint:errcheck // a socket that is done with
	err = answer(conn, &net.IPAddr{IP: net.IPv6linklocalallnodes, Zone: ifi.Name}, log)
	if ctx.Err() != nil {
		return nil
	}
	return sprout.Errorf(sprout.Unavailable, "cannot read router solicitations on %s: %w", device, err)
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
	err = errors.Join(conn.SetICMPFilter(&only), conn.SetMulticastHopLimit(fromNeighbour), conn.SetMulticastInterface(ifi),
		conn.JoinGroup(ifi, &net.IPAddr{IP: net.IPv6linklocalallrouters}))
	if err != nil {
		_ = raw.Close()
		return nil, nil, err
	}
	return conn, ifi, nil
}

// answer answers each solicitation to all, so one answer serves many.
func answer(conn *ipv6.PacketConn, all *net.IPAddr, log *slog.Logger) error {
	buf := make([]byte, 1500)
	for failures := 0; ; {
		if _, _, _, err := conn.ReadFrom(buf); err != nil {
			if failures++; errors.Is(err, net.ErrClosed) || failures == maxReadFailures {
				return err
			}
			continue
		}
		failures = 0
		if _, err := conn.WriteTo([]byte(nothing), nil, all); err != nil {
			log.Debug("cannot answer a router solicitation", "error", err)
		}
	}
}
