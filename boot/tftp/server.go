// Package tftp serves boot files over TFTP, read-only (RFC 1350 with the
// options of RFC 2347, 2348, 2349 and 7440). It knows files by name, and must
// not know machines.
package tftp

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"sprout"
)

// A File is an open boot file.
type File interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// An Open opens a file for a client, by its exact name without leading slashes.
// fs.ErrNotExist: there is none.
type Open func(name string, client netip.Addr) (File, error)

// A Config says what a Server serves and where.
type Config struct {
	// Address is the address and port to listen on, of IPv6 not the unspecified
	// one. Port 0 takes a free one, see Server.Addr.
	Address netip.AddrPort
	// Interface keeps to a network device; empty: any.
	Interface string
	// Open opens what is served; Files makes one.
	Open Open
	// MaxTransfers is how many run at once; 0: 256. Requests above it are not
	// answered: firmware asks again.
	MaxTransfers int
	// Transferred is told of each request that ended; nil: nobody is. It must
	// not block.
	Transferred func(Transfer)
	// Log takes what is worth reading later; nil: nothing.
	Log *slog.Logger
}

// A Server is a TFTP server.
type Server struct {
	config Config
	ready  chan struct{}
	addr   netip.AddrPort // set before ready is closed

	mu     sync.Mutex
	active map[netip.AddrPort]bool // clients that are served now
	of     map[netip.Addr]int      // how many of them are of an address
	done   sync.WaitGroup
}

// New checks the configuration and makes a server that Serve runs once. Errors
// are Invalid and name the field.
func New(c Config) (*Server, error) {
	switch {
	case c.Open == nil:
		return nil, sprout.InvalidField("open", "cannot serve TFTP without files")
	case !c.Address.Addr().Is4() && (!c.Address.Addr().Is6() || c.Address.Addr().IsUnspecified()):
		return nil, sprout.InvalidField("address", "cannot serve TFTP on %s: an address of this host is needed", c.Address)
	case c.MaxTransfers < 0:
		return nil, sprout.InvalidField("maxTransfers", "cannot serve %d transfers", c.MaxTransfers)
	}
	if c.MaxTransfers == 0 {
		c.MaxTransfers = 256
	}
	if c.Transferred == nil {
		c.Transferred = func(Transfer) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{config: c, ready: make(chan struct{}), active: map[netip.AddrPort]bool{}, of: map[netip.Addr]int{}}, nil
}

// Ready is closed once requests are answered.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Addr is where it listens, once it is ready.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// Serve answers until ctx ends, and returns once every transfer has ended: nil
// after ctx ended, else why it cannot serve.
func (s *Server) Serve(ctx context.Context) error {
	udp, err := s.open(ctx, s.config.Address)
	if err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot serve TFTP on %s: %w", s.config.Address, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = udp.Close() })
	defer stop()
	defer s.done.Wait()
	defer udp.Close() //nolint:errcheck // a socket that is done with
	s.addr = udp.LocalAddr().(*net.UDPAddr).AddrPort()
	receive, err := s.receiver(udp)
	if err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot learn where TFTP requests arrive: %w", err)
	}
	close(s.ready)
	err = s.read(ctx, receive)
	if ctx.Err() != nil {
		return nil
	}
	return sprout.Errorf(sprout.Unavailable, "cannot read TFTP requests: %w", err)
}

// open makes a UDP socket on the device.
func (s *Server) open(ctx context.Context, at netip.AddrPort) (*net.UDPConn, error) {
	c := net.ListenConfig{Control: s.bind}
	conn, err := c.ListenPacket(ctx, network(at), at.String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

// bind keeps a socket to the device, if one is named.
func (s *Server) bind(_, _ string, c syscall.RawConn) (err error) {
	if s.config.Interface == "" {
		return nil
	}
	controlErr := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), s.config.Interface) })
	return errors.Join(controlErr, err)
}

// maxReadFailures is how many reads in a row may fail before the socket counts
// as broken. A device that goes down fails one.
const maxReadFailures = 16

// network is the one of Go's that the address is of.
func network(at netip.AddrPort) string {
	if at.Addr().Is4() {
		return "udp4"
	}
	return "udp6"
}

// A receive reads one request: from whom it is, and which of our addresses it
// was sent to.
type receive func(buf []byte) (n int, client netip.AddrPort, at netip.Addr, err error)

// receiver makes the socket's receive. Of IPv4 the server may listen on every
// address, and answers from the one that was asked.
func (s *Server) receiver(udp *net.UDPConn) (receive, error) {
	if s.addr.Addr().Is6() {
		return func(buf []byte) (int, netip.AddrPort, netip.Addr, error) {
			n, client, err := udp.ReadFromUDPAddrPort(buf)
			return n, client, s.addr.Addr(), err
		}, nil
	}
	conn := ipv4.NewPacketConn(udp)
	return func(buf []byte) (n int, client netip.AddrPort, at netip.Addr, err error) {
		n, control, from, err := conn.ReadFrom(buf)
		if err != nil {
			return 0, client, at, err
		}
		at = s.addr.Addr()
		if control != nil {
			if to, ok := netip.AddrFromSlice(control.Dst); ok && !to.IsMulticast() {
				at = to.Unmap()
			}
		}
		return n, from.(*net.UDPAddr).AddrPort(), at, nil
	}, conn.SetControlMessage(ipv4.FlagDst, true)
}

// read starts a transfer for each request.
func (s *Server) read(ctx context.Context, receive receive) error {
	buf := make([]byte, 1500)
	for failures := 0; ; {
		n, client, at, err := receive(buf)
		if err != nil {
			if failures++; errors.Is(err, net.ErrClosed) || failures == maxReadFailures {
				return err
			}
			continue
		}
		failures = 0
		if !s.begin(client) {
			continue
		}
		r, refused := parse(buf[:n])
		s.done.Go(func() {
			defer s.end(client)
			s.serve(ctx, client, at, r, refused)
		})
	}
}

// mostOfOne is how many transfers one address may have at once: one that asks and
// takes nothing keeps nobody else from booting. Firmware has one or two.
const mostOfOne = 32

// begin counts a client in; false: it is served already (it repeats its
// request, and the transfer repeats its answer), or too many are.
func (s *Server) begin(client netip.AddrPort) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active[client] || len(s.active) >= s.config.MaxTransfers || s.of[client.Addr()] >= mostOfOne {
		return false
	}
	s.active[client] = true
	s.of[client.Addr()]++
	return true
}

func (s *Server) end(client netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.active, client)
	if s.of[client.Addr()]--; s.of[client.Addr()] == 0 {
		delete(s.of, client.Addr())
	}
}

// serve answers one request from a port of its own, at the address that was
// asked (RFC 1350 section 4, RFC 1123 section 4.2.3.5).
func (s *Server) serve(ctx context.Context, client netip.AddrPort, at netip.Addr, r request, refused *refusal) {
	begin := time.Now()
	dial := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, 0)), Control: s.bind}
	conn, err := dial.DialContext(ctx, network(client), client.String())
	if err != nil {
		s.config.Log.Warn("cannot answer a TFTP request", "client", client, "error", err)
		return
	}
	defer conn.Close() //nolint:errcheck // a socket that is done with
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	t := s.transfer(conn.(*net.UDPConn), client, r, refused)
	t.Elapsed = time.Since(begin)
	s.config.Log.Debug("tftp", "client", t.Client, "file", t.File, "outcome", t.Outcome, "bytes", t.Bytes, "detail", t.Detail)
	s.config.Transferred(t)
}

// transfer sends the file, or says why not.
func (s *Server) transfer(conn *net.UDPConn, client netip.AddrPort, r request, refused *refusal) Transfer {
	t := Transfer{Client: client, File: r.file}
	if refused != nil {
		_, _ = conn.Write(refused.packet())
		t.Outcome, t.Detail = Refused, refused.text
		return t
	}
	file, err := s.config.Open(r.file, t.Client.Addr())
	if err != nil {
		return s.unopened(conn, t, err)
	}
	defer file.Close()
	send := &sender{request: r, conn: conn, blocks: newBlocks(file, r)}
	t.Outcome, t.Detail = send.run()
	t.Bytes, t.Size = send.bytes(), send.blocks.size
	if t.Outcome == Failed {
		_, _ = conn.Write((&refusal{errUndefined, "cannot go on"}).packet())
	}
	return t
}

// unopened answers for a file that cannot be opened.
func (s *Server) unopened(conn *net.UDPConn, t Transfer, err error) Transfer {
	r := refusal{errUndefined, "cannot read the file"}
	t.Outcome, t.Detail = Failed, err.Error()
	if errors.Is(err, fs.ErrNotExist) {
		r = refusal{errNotFound, "no such file"}
		t.Outcome = NotFound
	}
	_, _ = conn.Write(r.packet())
	return t
}
