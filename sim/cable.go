package sim

import (
	"errors"
	"net"
	"net/netip"
	"sync"
)

// A cable is what a machine hangs on at its network. The zero value is plugged in.
// While it is out, packets are lost, and the connections that went over it are
// torn: so a machine that comes back must begin anew.
type cable struct {
	mu    sync.Mutex
	out   bool
	conns map[net.Conn]bool
}

// errCable is what whoever sends over a cable is told that is out.
var errCable = errors.New("the network cable is out")

// CutOff takes the machine off its network, or puts it back. Its BMC, which has a
// cable of its own, is not asked; power stays as it is.
func (m *Machine) CutOff(out bool) {
	m.cable.mu.Lock()
	was := m.cable.out
	m.cable.out = out
	for c := range m.cable.conns {
		if out {
			_ = c.Close() // nobody is to hear of it
		}
	}
	m.cable.mu.Unlock()
	if was != out {
		m.note(m.last(), "its network cable is %s", map[bool]string{true: "out", false: "in again"}[out])
	}
}

// last is the step that the machine came to last.
func (m *Machine) last() Step {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.journal) == 0 {
		return StepOff
	}
	return m.journal[len(m.journal)-1].Step
}

// isOut tells whether packets are lost now.
func (c *cable) isOut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out
}

// carry has a connection go over the cable.
func (c *cable) carry(conn net.Conn) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out {
		_ = conn.Close()
		return nil, errCable
	}
	if c.conns == nil {
		c.conns = map[net.Conn]bool{}
	}
	over := &carried{Conn: conn, cable: c}
	c.conns[conn] = true
	return over, nil
}

// A socket is one for UDP, whose packets go over a cable.
type socket struct {
	*net.UDPConn
	cable *cable
}

// WriteToUDPAddrPort sends a packet; one that is lost looks as if it was sent.
func (s socket) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if s.cable.isOut() {
		return len(b), nil
	}
	return s.UDPConn.WriteToUDPAddrPort(b, to)
}

// A carried is a connection that goes over a cable.
type carried struct {
	net.Conn
	cable *cable
}

// Close takes it off the cable.
func (c *carried) Close() error {
	c.cable.mu.Lock()
	delete(c.cable.conns, c.Conn)
	c.cable.mu.Unlock()
	return c.Conn.Close()
}
