package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"sprout/lldp"
)

// labChassis is the lab's switch, as it says to machines by LLDP.
var labChassis = net.HardwareAddr{0x02, 0x53, 0x00, 0x00, 0x00, 0x01} // administered locally

// A switchPort is the lab's end of a machine's cable. As switches do it says by
// LLDP who it is as soon as somebody says so on the cable.
type switchPort struct {
	socket *os.File
	name   string
	ended  chan struct{} // closed when nobody answers any more
}

type switchPorts []*switchPort

func (all switchPorts) close() {
	for _, p := range all {
		_ = p.socket.Close()
		<-p.ended
	}
}

const lldpProtocol = lldp.EtherType>>8 | lldp.EtherType&0xff<<8 // as on the wire

// openSwitchPort answers on the device until it is closed.
func openSwitchPort(index int, name string) (*switchPort, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, lldpProtocol)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for LLDP: %w", err)
	}
	group := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_MULTICAST, Alen: 6}
	copy(group.Address[:], lldp.Group)
	err = errors.Join(
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: lldpProtocol, Ifindex: index}),
		unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &group))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot listen for LLDP on %s: %w", name, err), unix.Close(fd))
	}
	p := &switchPort{socket: os.NewFile(uintptr(fd), "lldp"), name: name, ended: make(chan struct{})}
	go p.serve()
	return p, nil
}

func (p *switchPort) serve() {
	defer close(p.ended)
	frame := make([]byte, 1600)
	for {
		n, err := p.socket.Read(frame)
		if err != nil {
			return // closed, or the device is gone
		}
		if _, _, err := lldp.Parse(frame[:n]); err != nil {
			continue
		}
		_ = p.socket.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := p.socket.Write(lldp.Frame(labChassis, labChassis, p.name, "sprout-lab", 120)); err != nil {
			return
		}
	}
}
