package builtin

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"

	"sprout"
)

// A Server is a DHCP server of one provisioning network.
type Server struct {
	config  Config
	offers  *Offers
	ready   chan struct{}
	buffers sync.Pool
	dropped atomic.Int64
	conn    *ipv4.PacketConn // set before ready is closed
	raw     *rawSender       // nil: relays only
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
	case c.Workers < 0:
		return nil, sprout.InvalidField("workers", "cannot run %d workers", c.Workers)
	}
	s := &Server{config: c.withDefaults(), offers: &Offers{}, ready: make(chan struct{})}
	s.buffers.New = func() any { return &datagram{} }
	return s, nil
}

func (c Config) withDefaults() Config {
	if c.Port == 0 {
		c.Port = serverPort
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
	if c.Workers == 0 {
		c.Workers = 64
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Events == nil {
		c.Events = func(sprout.BootEvent) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Ready is closed once packets are answered.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Dropped is how many packets were not looked at because too many waited.
func (s *Server) Dropped() int64 { return s.dropped.Load() }

// Serve answers until ctx ends, and returns once every goroutine of it has
// ended: nil after ctx ended, else why it cannot serve. Its sockets belong to
// the network namespace of the calling thread.
func (s *Server) Serve(ctx context.Context) error {
	conn, raw, err := s.listen(ctx)
	if err != nil {
		return err
	}
	s.conn, s.raw = conn, raw
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer raw.close()
	workers := s.startWorkers(ctx)
	s.config.Log.Info("dhcp serves", "interface", s.config.Interface, "address", s.config.Address, "port", s.config.Port)
	close(s.ready)
	err = s.read(workers)
	workers.stop()
	_ = conn.Close()
	if ctx.Err() != nil {
		return nil
	}
	return sprout.Errorf(sprout.Unavailable, "cannot read DHCP packets: %w", err)
}

// maxReadFailures is how many reads in a row may fail before the socket counts
// as broken. A device that goes down fails one.
const maxReadFailures = 16

// read hands packets to the workers until the socket is closed.
func (s *Server) read(w *workers) error {
	failures := 0
	for {
		p := s.buffers.Get().(*datagram)
		n, control, from, err := s.conn.ReadFrom(p.buf[:])
		switch {
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			if failures++; failures == maxReadFailures {
				return err
			}
			s.config.Log.Warn("cannot read DHCP packet", "error", err)
			continue
		}
		failures = 0
		p.n, p.to = n, netip.Addr{}
		p.from = from.(*net.UDPAddr).AddrPort()
		if control != nil {
			to, _ := netip.AddrFromSlice(control.Dst)
			p.to = to.Unmap()
		}
		if !w.give(p) {
			s.dropped.Add(1)
			s.buffers.Put(p)
		}
	}
}

// site is what a decision looks at now.
func (s *Server) site() Site {
	return Site{
		Ledger: s.config.Ledger, Offers: s.offers, Address: s.config.Address, BootURL: s.config.BootURL,
		Loaders: s.config.Loaders, Domain: s.config.Domain(), LeaseTime: s.config.LeaseTime, Now: s.config.Now(),
	}
}
