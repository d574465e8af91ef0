package builtin

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"sprout"
)

// A Server is a DHCP server of one provisioning network.
type Server struct {
	config  Config
	offers  *Offers
	ready   chan struct{}
	dropped atomic.Int64
	outgo   sync.Pool // of *outgoing
	conn    *net.UDPConn
	socket  syscall.RawConn // of conn; set before ready is closed
	raw     *rawSender      // nil: relays only
}

// New checks the configuration and makes a server that Serve runs once. Errors
// are Invalid and name the field.
func New(c Config) (*Server, error) {
	switch {
	case c.Ledger == nil:
		return nil, sprout.InvalidField("ledger", "cannot serve DHCP without a ledger")
	case !c.Address.Is4() || c.Address.IsUnspecified():
		return nil, sprout.InvalidField("address", "cannot serve DHCP as %s: an IPv4 address of this host is needed", c.Address)
	case c.LeaseTime != 0 && c.LeaseTime < time.Second:
		return nil, sprout.InvalidField("leaseTime", "cannot lease for %s: 1 s or more is allowed", c.LeaseTime)
	}
	s := &Server{config: c.withDefaults(), offers: &Offers{}, ready: make(chan struct{})}
	return s, nil
}

func (c Config) withDefaults() Config {
	if c.Port == 0 {
		c.Port = serverPort
	}
	if c.BootPort == 0 && c.Port == serverPort {
		c.BootPort = bootPort
	}
	if c.ClientPort == 0 {
		c.ClientPort = clientPort
	}
	if c.BootURL == "" {
		c.BootURL = "http://" + c.Address.String()
	}
	if c.Loaders == nil {
		c.Loaders = DefaultLoaders
	}
	if c.Domain == nil {
		c.Domain = func() string { return "" }
	}
	if c.LeaseTime == 0 {
		c.LeaseTime = 10 * time.Minute
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Ready is closed once packets are answered.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Dropped is how many packets were not answered because too many waited.
func (s *Server) Dropped() int64 { return s.dropped.Load() }

// Serve answers until ctx ends, and returns once every goroutine of it has
// ended: nil after ctx ended, else why it cannot serve. Its sockets belong to
// the network namespace of the calling thread.
func (s *Server) Serve(ctx context.Context) error {
	if err := s.listen(ctx); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.conn.Close() })
	defer stop()
	defer s.raw.close()
	saver := newSaver(s)
	saving := saver.start(ctx)
	booting := s.serveBoot(ctx)
	s.config.Log.Info("dhcp serves", "interface", s.config.Interface, "address", s.config.Address, "port", s.config.Port)
	close(s.ready)
	err := s.read(saver)
	ended := ctx.Err() != nil
	booting()
	close(saver.news)
	saving.Wait()
	_ = s.conn.Close()
	if ended {
		return nil
	}
	return sprout.Errorf(sprout.Unavailable, "cannot read DHCP packets: %w", err)
}

// maxReadFailures is how many reads in a row may fail before the socket counts
// as broken. A device that goes down fails one.
const maxReadFailures = 16

// read answers until the socket is closed: by one goroutine, as that is quicker
// than any network, and a client's packets are answered in order. What is not yet
// read waits in the kernel.
func (s *Server) read(later *saver) error {
	d := s.newDesk()
	var n, failures int
	var errno syscall.Errno
	receive := func(fd uintptr) bool {
		n, errno = d.in.receive(fd)
		return errno != syscall.EAGAIN && errno != syscall.EINTR
	}
	var pace pace
	for {
		if err := s.socket.Read(receive); err != nil {
			return err
		}
		if errno != 0 {
			if failures++; failures == maxReadFailures {
				return errno
			}
			s.config.Log.Warn("cannot read DHCP packet", "error", errno)
			continue
		}
		failures = 0
		now, save := d.handle(n)
		s.finish(d.post, now)
		s.dropped.Add(int64(later.give(save)))
		if nap := pace.nap(n, time.Now()); n < together {
			time.Sleep(nap)
		}
	}
}

// site is what a decision looks at now.
func (s *Server) site() Site {
	return Site{
		Ledger: s.config.Ledger, Offers: s.offers, Address: s.config.Address, VRF: s.config.VRF, BootURL: s.config.BootURL,
		Loaders: s.config.Loaders, Domain: s.config.Domain(), LeaseTime: s.config.LeaseTime, Now: s.config.Now(),
	}
}
