package builtin6

import (
	"errors"
	"net"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"sprout"
)

// frames knows which MAC an address of the link spoke from last: a DHCPv6
// message need not say it, and a machine is known by it. The kernel hands a frame
// to packet sockets before it hands what is in it to UDP, so the sender of a
// message that was read is always among the frames that wait.
type frames struct {
	fd      int
	senders map[netip.Addr]string
}

// mostSenders is how many are remembered: more than wait at once, for each is
// asked for right after its message was read.
const mostSenders = 4096

// hear opens a packet socket on the interface for frames to the port; index 0:
// nothing is heard.
func hear(device string, index int, port uint16) (*frames, error) {
	f := &frames{fd: -1, senders: map[netip.Addr]string{}}
	if index == 0 {
		return f, nil
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		f.fd = fd
		err = errors.Join(filter(fd, port), unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: network(unix.ETH_P_IPV6), Ifindex: index}))
	}
	if err != nil {
		f.close()
		return nil, sprout.Errorf(sprout.Unavailable, "cannot see frames on %s (that needs CAP_NET_RAW): %w", device, err)
	}
	return f, nil
}

// filter lets through UDP to the port right after the IPv6 header.
func filter(fd int, port uint16) error {
	const nextHeader, udpTo = 6, 42
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: nextHeader, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_UDP, SkipTrue: 3},
		bpf.LoadAbsolute{Off: udpTo, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(port), SkipTrue: 1},
		bpf.RetConstant{Val: 40},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return err
	}
	raw := make([]unix.SockFilter, len(program))
	for i, p := range program {
		raw[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(raw)), Filter: &raw[0]})
}

// network is a number in the order of the network.
func network(n uint16) uint16 { return n<<8 | n>>8 }

// sender takes in what waits, and returns the MAC that ip spoke from; empty: it
// was not heard.
func (f *frames) sender(ip netip.Addr) string {
	for f.fd >= 0 {
		var header [40]byte
		n, from, err := unix.Recvfrom(f.fd, header[:], unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			break
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if n < len(header) || !ok || link.Halen != 6 || link.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if len(f.senders) >= mostSenders {
			clear(f.senders)
		}
		f.senders[netip.AddrFrom16([16]byte(header[8:24]))] = net.HardwareAddr(link.Addr[:6]).String()
	}
	return f.senders[ip.WithZone("")]
}

func (f *frames) close() {
	if f.fd >= 0 {
		_ = unix.Close(f.fd)
		f.fd = -1
	}
}
