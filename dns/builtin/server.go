package builtin

import (
	"context"
	"log/slog"
	"net/netip"

	"sprout"
)

// A Zone is what a site's name server answers from. The agent's store is one.
// Names are in lower case without the final dot. Every method is cheap: each
// query calls some of them.
type Zone interface {
	// Domain is the site's, as lon1.example; empty: not known yet.
	Domain() string
	// Agent is the name server's own full name and addresses.
	Agent() (name string, addresses []netip.Addr)
	// Subnets are those whose addresses are named: they make the reverse zones.
	Subnets() []netip.Prefix
	// Serial rises with every change of a record (RFC 1982).
	Serial() uint32
	// Lookup returns the addresses of a full name.
	Lookup(name string) []netip.Addr
	// Reverse returns the full names of an address.
	Reverse(ip netip.Addr) []string
}

// A ServerConfig says where a Server answers and from what.
type ServerConfig struct {
	// Address to listen on, UDP and TCP. Port 0 takes a free one, see Addr.
	Address netip.AddrPort
	Zone    Zone
	// TTL is how many seconds resolvers may keep answers; 0: DefaultTTL.
	TTL uint32
	// Log takes what is worth reading later; nil: nothing.
	Log *slog.Logger
}

// A Server is the name server of a site.
type Server struct {
	config ServerConfig
	ready  chan struct{}
}

// NewServer checks the configuration. Errors are Invalid and name the field.
func NewServer(c ServerConfig) (*Server, error) {
	if c.Zone == nil {
		return nil, sprout.InvalidField("zone", "cannot serve names without a zone")
	}
	return &Server{config: c, ready: make(chan struct{})}, nil
}

// Ready is closed once queries are answered.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Addr is where it listens, once it is ready.
func (s *Server) Addr() netip.AddrPort { return s.config.Address }

// Serve answers until ctx ends.
func (s *Server) Serve(ctx context.Context) error {
	return sprout.Errorf(sprout.Unavailable, "cannot serve names yet: under construction")
}
