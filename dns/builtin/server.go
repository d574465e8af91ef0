package builtin

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"sprout"
	"sprout/dns/zone"
)

// A ServerConfig says where a Server answers and from what.
type ServerConfig struct {
	// Addresses to listen on, UDP and TCP. Port 0 takes a free one, see Addr.
	Addresses []netip.AddrPort
	Zones     *zone.DB
	// Rules say who may do what; nil: nobody may transfer, update or be passed on.
	Rules *Policy
	// Updates keeps what updates make; nil: there are none.
	Updates Updater
	// Limits are of what clients may take up.
	Limits Limits
	// Log takes what is worth reading later; nil: nothing.
	Log *slog.Logger
}

// A Server is the name server of a site.
type Server struct {
	config     ServerConfig
	ready      chan struct{}
	addrs      []netip.AddrPort // set before ready is closed
	slow       chan struct{}    // one for each datagram that is not answered at once
	conns      conns
	updating   sync.Mutex
	forwarding chan struct{} // one for each query that is passed on
	running    sync.WaitGroup
}

// slowAtOnce is how many datagrams are worked on that are no ordinary queries.
const slowAtOnce = 256

// NewServer checks the configuration and makes a server that Serve runs once.
// Errors are Invalid and name the field.
func NewServer(c ServerConfig) (*Server, error) {
	switch {
	case c.Zones == nil:
		return nil, sprout.InvalidField("zones", "cannot serve names without zones")
	case len(c.Addresses) == 0 || !c.Addresses[0].IsValid():
		return nil, sprout.InvalidField("addresses", "cannot serve names without an address")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Rules == nil {
		c.Rules = NewPolicy()
	}
	c.Limits = c.Limits.withDefaults()
	return &Server{
		config: c, ready: make(chan struct{}), slow: make(chan struct{}, slowAtOnce), forwarding: make(chan struct{}, forwardAtOnce),
		conns: conns{most: c.Limits.Clients, ofOne: c.Limits.OfOne, all: map[net.Conn]netip.Addr{}, of: map[netip.Addr]int{}},
	}, nil
}

// rules are those of now.
func (s *Server) rules() *Rules {
	rules, _ := s.config.Rules.now()
	return rules
}

// Ready is closed once queries are answered.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Addr is where it listens on its first address, once it is ready.
func (s *Server) Addr() netip.AddrPort { return s.addrs[0] }

// Serve answers until ctx ends, and returns once every goroutine of it has
// ended: nil after ctx ended, else why it cannot serve.
func (s *Server) Serve(ctx context.Context) error {
	var all []sockets
	ctx, cancel := context.WithCancelCause(ctx)
	defer func() {
		cancel(nil)
		for _, so := range all {
			so.close()
		}
		s.conns.closeAll()
		s.running.Wait()
	}()
	for _, at := range s.config.Addresses {
		so, err := listen(ctx, at)
		if err != nil {
			return sprout.Errorf(sprout.Unavailable, "cannot serve names on %s: %w", at, err)
		}
		all, s.addrs = append(all, so), append(s.addrs, so.at)
	}
	for _, so := range all {
		s.start(ctx, so, cancel)
	}
	told := &notifier{server: s, from: s.addrs[0].Addr()}
	s.running.Go(func() { told.run(ctx) })
	s.running.Go(func() { s.resign(ctx) })
	close(s.ready)
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return sprout.Errorf(sprout.Unavailable, "cannot serve names on %s: %w", s.addrs[0], err)
	}
	return nil
}

// start runs the loops of an address; the first that fails ends all.
func (s *Server) start(ctx context.Context, so sockets, failed context.CancelCauseFunc) {
	loop := func(run func() error) {
		s.running.Go(func() {
			if err := run(); ctx.Err() == nil {
				failed(err)
			}
		})
	}
	loop(func() error { return s.serveTCP(ctx, so.tcp) })
	for _, udp := range so.udp {
		loop(func() error { return s.serveUDP(ctx, udp, so.at.Addr().IsUnspecified()) })
	}
}

// sockets are those of one address: the same port of TCP and UDP.
type sockets struct {
	at  netip.AddrPort
	tcp net.Listener
	udp []*net.UDPConn
}

func (so sockets) close() {
	if so.tcp != nil {
		_ = so.tcp.Close()
	}
	for _, udp := range so.udp {
		_ = udp.Close()
	}
}

// listen takes the same port of TCP and UDP.
func listen(ctx context.Context, at netip.AddrPort) (so sockets, err error) {
	network := "tcp4"
	if at.Addr().Is6() {
		network = "tcp6"
	}
	for range 16 { // a free TCP port may be taken in UDP
		var c net.ListenConfig
		if so.tcp, err = c.Listen(ctx, network, at.String()); err != nil {
			return sockets{}, err
		}
		so.at = netip.AddrPortFrom(at.Addr(), so.tcp.Addr().(*net.TCPAddr).AddrPort().Port())
		for range min(runtime.GOMAXPROCS(0), 8) {
			udp, fails := listenUDP(ctx, so.at)
			if fails != nil {
				err = fails
				break
			}
			so.udp = append(so.udp, udp)
		}
		if err == nil {
			return so, nil
		}
		so.close()
		if so = (sockets{}); at.Port() != 0 {
			return so, err
		}
	}
	return so, errors.New("no port is free in TCP and UDP")
}

// resignEvery is how often signatures are looked at.
const resignEvery = 10 * time.Minute

// resign makes signatures anew before they end, until ctx ends.
func (s *Server) resign(ctx context.Context) {
	for sprout.Pause(ctx, resignEvery) == nil {
		if names := s.config.Zones.Resign(time.Now()); names > 0 {
			s.config.Log.Info("signatures are made anew", "names", names)
		}
	}
}
