package bus

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"crypto/tls"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"

	"sprout"
)

// A Config says how to run the embedded server.
type Config struct {
	Dir     string      // of the streams
	Listen  string      // host:port; port 0 takes a free one, empty listens for nobody but this process
	Keys    Keys        // of the installation
	Revoked []string    // public keys of agents that may not connect
	TLS     *tls.Config // nil: in the clear
	Log     *slog.Logger
}

// A Server is an embedded NATS server with JetStream, in operator mode.
type Server struct {
	nats     *server.Server
	keys     Keys
	accounts *server.MemAccResolver
	dir      string
	log      *slog.Logger
	broken   atomic.Bool // a write of a stream has failed

	mu      sync.Mutex
	revoked []string
}

// StartServer starts the embedded server and returns once it takes connections.
func StartServer(c Config) (*Server, error) {
	s := &Server{keys: c.Keys, accounts: &server.MemAccResolver{}, dir: c.Dir, log: c.Log, revoked: c.Revoked}
	opts, err := s.options(c)
	if err != nil {
		return nil, err
	}
	s.nats, err = server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("cannot start the embedded NATS server: %w", err)
	}
	s.nats.SetLoggerV2(natsLog{c.Log, &s.broken}, false, false, false)
	s.nats.Start()
	if !s.nats.ReadyForConnections(10 * time.Second) {
		s.nats.Shutdown()
		return nil, sprout.Errorf(sprout.Unavailable, "cannot start the embedded NATS server on %q within 10 s", c.Listen)
	}
	c.Log.Info("bus server started", "url", s.URL(), "dir", c.Dir)
	return s, nil
}

func (s *Server) options(c Config) (*server.Options, error) {
	operatorJWT, err := c.Keys.OperatorJWT()
	if err != nil {
		return nil, err
	}
	operator, err := jwt.DecodeOperatorClaims(operatorJWT)
	if err != nil {
		return nil, fmt.Errorf("cannot read the bus's operator claim: %w", err)
	}
	if _, err := s.storeAccounts(); err != nil {
		return nil, err
	}
	opts := &server.Options{
		ServerName: "sprout", JetStream: true, StoreDir: c.Dir,
		TrustedOperators: []*jwt.OperatorClaims{operator},
		SystemAccount:    operator.SystemAccount,
		AccountResolver:  s.accounts,
		NoSigs:           true, DontListen: c.Listen == "",
		TLSConfig: c.TLS, TLS: c.TLS != nil, TLSTimeout: 5,
	}
	if c.Listen == "" {
		return opts, nil
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, sprout.InvalidField("listen", "cannot listen on %q: it must be host:port", c.Listen)
	}
	opts.Host = host
	if opts.Port, err = strconv.Atoi(port); err != nil {
		return nil, sprout.InvalidField("listen", "cannot listen on %q: the port must be a number", c.Listen)
	}
	if opts.Port == 0 {
		opts.Port = server.RANDOM_PORT
	}
	return opts, nil
}

// storeAccounts hands every account to the resolver and returns their claims.
func (s *Server) storeAccounts() ([]*jwt.AccountClaims, error) {
	tokens, err := s.keys.AccountJWTs(s.revoked...)
	if err != nil {
		return nil, err
	}
	all := make([]*jwt.AccountClaims, 0, len(tokens))
	for _, token := range tokens {
		claims, err := jwt.DecodeAccountClaims(token)
		if err != nil {
			return nil, fmt.Errorf("cannot read a bus account claim: %w", err)
		}
		if err := s.accounts.Store(claims.Subject, token); err != nil {
			return nil, fmt.Errorf("cannot store a bus account: %w", err)
		}
		all = append(all, claims)
	}
	return all, nil
}

// Revoke cuts agents off at once and refuses their credentials from now on. The
// caller keeps the list, for Config.Revoked of the next start.
func (s *Server) Revoke(userPublicKeys ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked = append(s.revoked, userPublicKeys...)
	sites, err := openKey("sites", s.keys.Sites)
	if err != nil {
		return err
	}
	all, err := s.storeAccounts()
	if err != nil {
		return err
	}
	account, err := s.nats.LookupAccount(sites.public)
	if err != nil {
		return fmt.Errorf("cannot find the sites' bus account: %w", err)
	}
	for _, claims := range all {
		if claims.Subject == sites.public {
			s.nats.UpdateAccountClaims(account, claims)
		}
	}
	s.log.Info("bus users revoked", "users", userPublicKeys)
	return nil
}

// Mend starts the streams anew if a write of one has failed since they were
// started, as it does on a full disk: NATS takes nothing into such a stream any
// more, and does not answer. It is to be called when there is room again. What was
// acknowledged is there; who publishes and reads finds the streams again by itself.
func (s *Server) Mend() error {
	if !s.broken.Swap(false) {
		return nil
	}
	s.log.Warn("streams are started anew: a write has failed")
	err := s.nats.ShutdownJetStream()
	if err == nil {
		err = s.nats.EnableJetStream(&server.JetStreamConfig{StoreDir: s.dir})
	}
	if err != nil {
		s.broken.Store(true)
		return sprout.Errorf(sprout.Unavailable, "cannot start the bus's streams anew: %w", err)
	}
	return nil
}

// URL is where agents connect; empty when the server does not listen.
func (s *Server) URL() string { return s.nats.ClientURL() }

// Close stops the server and returns when it has stopped.
func (s *Server) Close(ctx context.Context) {
	s.nats.Shutdown()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.nats.WaitForShutdown()
	}()
	select {
	case <-stopped:
	case <-ctx.Done():
	}
	s.log.Info("bus server stopped")
}

// natsLog gives NATS's words to slog; what it calls a notice is detail to us. That
// a write failed for good is told nowhere else.
type natsLog struct {
	log    *slog.Logger
	broken *atomic.Bool
}

func (l natsLog) Noticef(f string, a ...any) { l.log.Debug("nats: " + fmt.Sprintf(f, a...)) }
func (l natsLog) Warnf(f string, a ...any)   { l.log.Warn("nats: " + fmt.Sprintf(f, a...)) }
func (l natsLog) Fatalf(f string, a ...any)  { l.log.Error("nats: " + fmt.Sprintf(f, a...)) }
func (l natsLog) Debugf(f string, a ...any)  { l.log.Debug("nats: " + fmt.Sprintf(f, a...)) }
func (l natsLog) Tracef(string, ...any)      {}

func (l natsLog) Errorf(f string, a ...any) {
	if strings.Contains(f, "ritical write error") {
		l.broken.Store(true)
	}
	l.log.Error("nats: " + fmt.Sprintf(f, a...))
}
