package builtin6

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv6"

	"sprout"
	"sprout/dhcp/builtin"
)

// A Server is a DHCPv6 server of one provisioning network.
type Server struct {
	config  Config
	offers  *builtin.Offers
	ready   chan struct{}
	buffers sync.Pool
	dropped atomic.Int64
	conn    *ipv6.PacketConn // set before ready is closed
	index   int              // of the interface; 0: relays only
}

// New checks the configuration and makes a server that Serve runs once. Errors
// are Invalid and name the field.
func New(c Config) (*Server, error) {
	switch {
	case c.Ledger == nil:
		return nil, sprout.InvalidField("ledger", "cannot serve DHCPv6 without a ledger")
	case !c.Address.Is6() || c.Address.Is4In6() || c.Address.IsUnspecified() || c.Address.IsLinkLocalUnicast():
		return nil, sprout.InvalidField("address", "cannot serve DHCPv6 as %s: an IPv6 address of this host is needed, not a link-local one", c.Address)
	case len(c.DUID) < 3 || len(c.DUID) > 130:
		return nil, sprout.InvalidField("duid", "cannot serve DHCPv6 with an identifier of %d bytes: 3 to 130 are allowed", len(c.DUID))
	case c.LeaseTime != 0 && c.LeaseTime < time.Second:
		return nil, sprout.InvalidField("leaseTime", "cannot lease for %s: 1 s or more is allowed", c.LeaseTime)
	case c.Workers < 0:
		return nil, sprout.InvalidField("workers", "cannot run %d workers", c.Workers)
	}
	s := &Server{config: c.withDefaults(), offers: &builtin.Offers{}, ready: make(chan struct{})}
	s.buffers.New = func() any { return &datagram{} }
	return s, nil
}

// Ready is closed once messages are answered.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Dropped is how many messages were not looked at because too many waited.
func (s *Server) Dropped() int64 { return s.dropped.Load() }

// Serve answers until ctx ends, and returns once every goroutine of it has
// ended: nil after ctx ended, else why it cannot serve. Its sockets belong to
// the network namespace of the calling thread.
func (s *Server) Serve(ctx context.Context) error {
	conn, index, err := s.listen(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // a socket that is done with
	s.conn, s.index = conn, index
	frames, err := hear(s.config.Interface, index, s.config.Port)
	if err != nil {
		return err
	}
	defer frames.close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	workers := s.startWorkers(ctx)
	s.config.Log.Info("dhcpv6 serves", "interface", s.config.Interface, "address", s.config.Address, "port", s.config.Port)
	close(s.ready)
	err = s.read(workers, frames)
	workers.stop()
	if ctx.Err() != nil {
		return nil
	}
	return sprout.Errorf(sprout.Unavailable, "cannot read DHCPv6 messages: %w", err)
}

// maxReadFailures is how many reads in a row may fail before the socket counts
// as broken. A device that goes down fails one.
const maxReadFailures = 16

// read hands messages to the workers until the socket is closed.
func (s *Server) read(w *workers, frames *frames) error {
	for failures := 0; ; {
		p := s.buffers.Get().(*datagram)
		n, control, from, err := s.conn.ReadFrom(p.buf[:])
		if err != nil {
			if failures++; errors.Is(err, net.ErrClosed) || failures == maxReadFailures {
				return err
			}
			s.config.Log.Warn("cannot read DHCPv6 message", "error", err)
			continue
		}
		failures = 0
		p.n, p.to = n, netip.Addr{}
		p.from = from.(*net.UDPAddr).AddrPort()
		p.mac = frames.sender(p.from.Addr())
		if control != nil {
			p.to, _ = netip.AddrFromSlice(control.Dst)
		}
		if !w.give(p) {
			s.dropped.Add(1)
			s.buffers.Put(p)
		}
	}
}

// site is what a decision looks at now.
func (s *Server) site() Site {
	c := s.config
	return Site{
		Ledger: c.Ledger, Offers: s.offers, Address: c.Address, VRF: c.VRF, DUID: c.DUID, BootURL: c.BootURL,
		Loaders: c.Loaders, Domain: c.Domain(), LeaseTime: c.LeaseTime, Now: c.Now(),
	}
}
