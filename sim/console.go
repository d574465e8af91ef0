package sim

import (
	"context"
	"io"
	"sync"
)

// portHolds is how many bytes wait for a reader of a serial port; what comes beyond
// is lost, as on a line.
const portHolds = 64 << 10

// A port is one opening of a machine's serial port.
type port struct {
	machine *Machine
	mu      sync.Mutex
	waiting []byte
	closed  bool
	news    chan struct{} // holds one: something waits, or it is closed
}

// Console opens the serial port, on which the machine says what its journal notes
// and what it is told to Say. What is typed is echoed; Enter is answered by a prompt.
func (m *Machine) Console(context.Context) (io.ReadWriteCloser, error) {
	p := &port{machine: m, news: make(chan struct{}, 1)}
	m.serial.Lock()
	defer m.serial.Unlock()
	if m.ports == nil {
		m.ports = map[*port]bool{}
	}
	m.ports[p] = true
	return p, nil
}

// Say has the machine say words on its serial port.
func (m *Machine) Say(words string) {
	m.serial.Lock()
	defer m.serial.Unlock()
	for p := range m.ports {
		p.put([]byte(words))
	}
}

// Consoles counts how often its serial port is open.
func (m *Machine) Consoles() int {
	m.serial.Lock()
	defer m.serial.Unlock()
	return len(m.ports)
}

// HangUp closes the serial port, as a BMC does that starts again.
func (m *Machine) HangUp() {
	m.serial.Lock()
	defer m.serial.Unlock()
	for p := range m.ports {
		p.end()
	}
	clear(m.ports)
}

func (p *port) put(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = append(p.waiting, b[:min(len(b), portHolds-len(p.waiting))]...)
	p.tell()
}

func (p *port) tell() {
	select {
	case p.news <- struct{}{}:
	default:
	}
}

func (p *port) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.tell()
}

// Read waits for what the machine says.
func (p *port) Read(b []byte) (int, error) {
	for {
		p.mu.Lock()
		n := copy(b, p.waiting)
		p.waiting = p.waiting[n:]
		closed := p.closed
		p.mu.Unlock()
		switch {
		case n > 0:
			return n, nil
		case closed:
			p.tell() // for the next call
			return 0, io.EOF
		}
		<-p.news
	}
}

// Write types.
func (p *port) Write(keys []byte) (int, error) {
	for _, key := range keys {
		if key == '\r' || key == '\n' {
			p.machine.Say("\r\n" + p.machine.spec.Name + "# ")
			continue
		}
		p.machine.Say(string([]byte{key}))
	}
	return len(keys), nil
}

// Close ends this opening.
func (p *port) Close() error {
	p.machine.serial.Lock()
	defer p.machine.serial.Unlock()
	delete(p.machine.ports, p)
	p.end()
	return nil
}
