package scenario_test

import (
	"io"
	"net"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// A link carries TCP connections from agents to the control plane until it is
// cut: then those that stand are torn and new ones are refused.
type link struct {
	listener net.Listener
	carries  sync.WaitGroup

	mu    sync.Mutex
	to    string
	cut   bool
	conns map[net.Conn]bool
}

func newLink() (*link, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{listener: listener, conns: map[net.Conn]bool{}}
	l.carries.Go(l.accept)
	return l, nil
}

func (l *link) address() string { return l.listener.Addr().String() }

// lead says where the link leads from now on.
func (l *link) lead(to string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to = to
}

func (l *link) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.carries.Go(func() { l.carry(near) })
	}
}

func (l *link) carry(near net.Conn) {
	defer l.drop(near)
	if !l.keep(near) {
		return
	}
	l.mu.Lock()
	to := l.to
	l.mu.Unlock()
	far, err := net.Dial("tcp4", to)
	if err != nil {
		return
	}
	defer l.drop(far)
	if !l.keep(far) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(near, far)
		_ = near.Close()
	})
	_, _ = io.Copy(far, near)
	_ = far.Close()
	back.Wait()
}

// keep remembers a connection to tear; it refuses while the link is cut.
func (l *link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cut {
		l.conns[c] = true
	}
	return !l.cut
}

func (l *link) drop(c net.Conn) {
	_ = c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

func (l *link) setCut(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	if !cut {
		return
	}
	for c := range l.conns {
		_ = c.Close()
	}
}

func (l *link) close() {
	_ = l.listener.Close()
	l.setCut(true)
	l.carries.Wait()
}

func tellWAN(s *story, ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 1 && (args[0] == "cut" || args[0] == "heal"), "wan cut|heal")
	s.api.setCut(args[0] == "cut")
	s.bus.setCut(args[0] == "cut")
}
