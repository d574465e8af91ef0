// Package tftp serves boot files over TFTP, read-only (RFC 1350 with the
// options of RFC 2347, 2348, 2349 and 7440). It knows files by name, and must
// not know machines.
package tftp

import (
	"context"
	"io"
	"log/slog"
	"net/netip"

	"sprout"
)

// A File is an open boot file.
type File interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// A Config says what a Server serves and where.
type Config struct {
	// Address and port to listen on. Port 0 takes a free one, see Server.Addr.
	Address netip.AddrPort
	// Interface binds to a network device; empty: any.
	Interface string
	// Open opens a file by its exact name; fs.ErrNotExist: there is none.
	// Files makes one.
	Open func(name string) (File, error)
	// MaxTransfers is how many run at once; 0: 256. Those above it are not
	// answered: firmware asks again.
	MaxTransfers int
	// Transferred is told of each transfer that ended; nil: nobody is. It must
	// not block.
	Transferred func(Transfer)
	// Log takes what is worth reading later; nil: nothing.
	Log *slog.Logger
}

// A Server is a TFTP server.
type Server struct {
	config Config
	ready  chan struct{}
}

// New checks the configuration. Errors are Invalid and name the field.
func New(c Config) (*Server, error) {
	if c.Open == nil {
		return nil, sprout.InvalidField("open", "cannot serve TFTP without files")
	}
	return &Server{config: c, ready: make(chan struct{})}, nil
}

// Ready is closed once requests are answered.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Addr is where it listens, once it is ready.
func (s *Server) Addr() netip.AddrPort { return s.config.Address }

// Serve answers until ctx ends, and returns once every transfer has ended.
func (s *Server) Serve(ctx context.Context) error {
	return sprout.Errorf(sprout.Unavailable, "cannot serve TFTP yet: under construction")
}
