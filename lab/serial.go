package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"sprout"
	"sprout/power/redfish/emulator"
)

var _ emulator.ConsoleMachine = (*machine)(nil)

// serialLook is how often it is looked whether the machine has said more.
const serialLook = 50 * time.Millisecond

// A serial is one opening of a machine's serial port, as its BMC has it: it lasts
// while the machine is off and on again. What the machine says is read from the file
// that all of it goes to, so that there may be many.
type serial struct {
	dir    string
	said   *os.File
	closed chan struct{}
	once   sync.Once

	mu   sync.Mutex
	keys net.Conn // to the QEMU that runs; nil: none was needed yet
}

// Console opens the serial port.
func (m *machine) Console(context.Context) (io.ReadWriteCloser, error) {
	f, err := os.OpenFile(filepath.Join(m.dir, consoleLog), os.O_RDONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open the console of %s: %w", m.spec.Name, err)
	}
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open the console of %s: %w", m.spec.Name, err), f.Close())
	}
	return &serial{dir: m.dir, said: f, closed: make(chan struct{})}, nil
}

// Read waits for what the machine says.
func (s *serial) Read(b []byte) (int, error) {
	for {
		select {
		case <-s.closed:
			return 0, io.EOF
		default:
		}
		n, err := s.said.Read(b)
		if n > 0 || err != nil && !errors.Is(err, io.EOF) {
			return n, err
		}
		select {
		case <-s.closed:
			return 0, io.EOF
		case <-time.After(serialLook):
		}
	}
}

// Write types. To a machine that is off nobody listens: it is no error.
func (s *serial) Write(keys []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range 2 { // the second time to the QEMU that came after the one before
		if s.keys == nil {
			if err := s.dial(); err != nil {
				return len(keys), nil
			}
		}
		if _, err := s.keys.Write(keys); err == nil {
			return len(keys), nil
		}
		_ = s.keys.Close() // it is gone
		s.keys = nil
	}
	return len(keys), nil
}

// dial connects to the running QEMU, by way of the directory's descriptor: a
// socket's path is short (unix(7)).
func (s *serial) dial() error {
	dir, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // only read
	conn, err := net.Dial("unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), consoleSock))
	if err != nil {
		return err
	}
	s.keys = conn
	go func() { _, _ = io.Copy(io.Discard, conn) }() // it is in the file; ends with the connection
	return nil
}

// Close ends this opening.
func (s *serial) Close() (err error) {
	s.once.Do(func() {
		close(s.closed)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.keys != nil {
			_ = s.keys.Close()
		}
		err = s.said.Close()
	})
	if err != nil {
		return sprout.Errorf(sprout.Internal, "cannot close a console: %w", err)
	}
	return nil
}
