package builtin

import (
	"context"

	"sprout"
	"sprout/dhcp"
)

// A Server is a DHCP server of one provisioning network.
type Server struct {
	config Config
	ready  chan struct{}
}

// New checks the configuration and makes a server that Serve runs. Errors are
// Invalid and name the field.
func New(c Config) (*Server, error) {
	if c.Ledger == nil {
		return nil, sprout.InvalidField("ledger", "cannot serve DHCP without a ledger")
	}
	return &Server{config: c, ready: make(chan struct{})}, nil
}

// Ready is closed once packets are answered.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Serve answers until ctx ends.
func (s *Server) Serve(ctx context.Context) error {
	return sprout.Errorf(sprout.Unavailable, "cannot serve DHCP yet: under construction")
}

// Explain says what a machine would get.
func (s *Server) Explain(q dhcp.Question) (dhcp.Explanation, error) {
	return dhcp.Explanation{}, sprout.Errorf(sprout.Unavailable, "cannot explain yet: under construction")
}
