package builtin

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/miekg/dns"

	"sprout"
)

// A ServerConfig says where a Server answers and from what.
type ServerConfig struct {
	// Address to listen on, UDP and TCP. Port 0 takes a free one, see Addr.
	Address netip.AddrPort
	Zone    Zone
	// Log takes what is worth reading later; nil: nothing.
	Log *slog.Logger
}

// A Server is the name server of a site.
type Server struct {
	config ServerConfig
	ready  chan struct{}
	addr   netip.AddrPort // set before ready is closed
}

// NewServer checks the configuration and makes a server that Serve runs once.
// Errors are Invalid and name the field.
func NewServer(c ServerConfig) (*Server, error) {
	switch {
	case c.Zone == nil:
		return nil, sprout.InvalidField("zone", "cannot serve names without a zone")
	case !c.Address.IsValid():
		return nil, sprout.InvalidField("address", "cannot serve names without an address")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{config: c, ready: make(chan struct{})}, nil
}

// Ready is closed once queries are answered.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Addr is where it listens, once it is ready.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// Serve answers until ctx ends, and returns once every goroutine of it has
// ended: nil after ctx ended, else why it cannot serve.
func (s *Server) Serve(ctx context.Context) error {
	tcp, udp, err := s.listen(ctx)
	if err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot serve names on %s: %w", s.config.Address, err)
	}
	var started, done sync.WaitGroup
	servers := []*dns.Server{{Listener: tcp}, {PacketConn: udp}}
	failed := make(chan error, len(servers))
	for _, server := range servers {
		server.Handler = dns.HandlerFunc(s.handle)
		server.NotifyStartedFunc = sync.OnceFunc(started.Done)
		started.Add(1)
		done.Go(func() {
			if err := server.ActivateAndServe(); err != nil {
				failed <- err
			}
			server.NotifyStartedFunc() // also where it never started
		})
	}
	started.Wait()
	close(s.ready)
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	for _, server := range servers {
		_ = server.Shutdown() // waits for the answers under way
	}
	_, _ = tcp.Close(), udp.Close()
	done.Wait()
	if ctx.Err() != nil || err == nil {
		return nil
	}
	return sprout.Errorf(sprout.Unavailable, "cannot serve names on %s: %w", s.addr, err)
}

// listen takes the same port of TCP and UDP.
func (s *Server) listen(ctx context.Context) (net.Listener, net.PacketConn, error) {
	var c net.ListenConfig
	for range 16 { // a free TCP port may be taken in UDP
		tcp, err := c.Listen(ctx, "tcp", s.config.Address.String())
		if err != nil {
			return nil, nil, err
		}
		s.addr = tcp.Addr().(*net.TCPAddr).AddrPort()
		udp, err := c.ListenPacket(ctx, "udp", s.addr.String())
		if err == nil {
			return tcp, udp, nil
		}
		_ = tcp.Close()
		if s.config.Address.Port() != 0 {
			return nil, nil, err
		}
	}
	return nil, nil, errors.New("no port is free in TCP and UDP")
}

// handle answers one query, within what its transport takes.
func (s *Server) handle(w dns.ResponseWriter, query *dns.Msg) {
	m, reason := Answer(query, s.config.Zone)
	if _, ok := w.RemoteAddr().(*net.UDPAddr); ok {
		m.Truncate(udpSize(query))
	}
	if err := w.WriteMsg(m); err != nil {
		s.config.Log.Debug("cannot answer a query", "client", w.RemoteAddr(), "error", err)
		return
	}
	if !s.config.Log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	s.config.Log.Debug("dns", "client", w.RemoteAddr(), "question", query.Question, "rcode", dns.RcodeToString[m.Rcode], "reason", reason)
}

// udpSize is how many bytes of answer a client takes by UDP, bounded by what
// passes unfragmented (RFC 6891 section 6.2.5).
func udpSize(query *dns.Msg) int {
	opt := query.IsEdns0()
	if opt == nil {
		return dns.MinMsgSize
	}
	return min(max(int(opt.UDPSize()), dns.MinMsgSize), maxUDP)
}
