// Package sshd is the SSH server of a machine in rescue (RFC 4251 to 4254): a
// shell, with a terminal if asked for, for whoever holds one of the named keys. Its
// host key lives as long as the boot. It must not know why the machine is in rescue,
// nor what a shell is.
package sshd

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	// loginWait is how long a client may take to prove its key.
	loginWait = 30 * time.Second
	// atOnce is how many connections there may be.
	atOnce = 16
)

// Config is what a server needs.
type Config struct {
	Keys    []string // authorized keys, as in authorized_keys
	Command []string // the shell: run as it is, or with -c and what the client asks for
	Env     []string // of the shell
	Dir     string   // where it begins; empty: where this process is
	Log     *slog.Logger
}

// A Server serves until its context ends.
type Server struct {
	config   Config
	ssh      *ssh.ServerConfig
	listener net.Listener
	host     ssh.PublicKey
	sessions sync.WaitGroup
}

// Listen makes a host key and takes connections at the address, which Serve
// answers. An error says which key cannot be read.
func Listen(address string, c Config) (*Server, error) {
	var keys []ssh.PublicKey
	for _, line := range c.Keys {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return nil, fmt.Errorf("cannot read the public key %.30q: %w", line, err)
		}
		keys = append(keys, key)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("cannot make a host key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, fmt.Errorf("cannot make a host key: %w", err)
	}
	s := &Server{config: c, host: signer.PublicKey()}
	s.ssh = &ssh.ServerConfig{
		MaxAuthTries: 6,
		PublicKeyCallback: func(conn ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if slices.ContainsFunc(keys, func(k ssh.PublicKey) bool { return bytes.Equal(k.Marshal(), key.Marshal()) }) {
				return &ssh.Permissions{Extensions: map[string]string{"key": ssh.FingerprintSHA256(key)}}, nil
			}
			return nil, fmt.Errorf("key %s of %s is not one that may log in", ssh.FingerprintSHA256(key), conn.RemoteAddr())
		},
	}
	s.ssh.AddHostKey(signer)
	if s.listener, err = net.Listen("tcp", address); err != nil {
		return nil, fmt.Errorf("cannot listen for SSH: %w", err)
	}
	return s, nil
}

// HostKey is the fingerprint of the host key, as ssh shows it.
func (s *Server) HostKey() string { return ssh.FingerprintSHA256(s.host) }

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve answers until the context ends, and then waits for every session.
func (s *Server) Serve(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { _ = s.listener.Close() })
	defer stop()
	slots := make(chan struct{}, atOnce)
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			break
		}
		select {
		case slots <- struct{}{}:
			s.sessions.Go(func() {
				defer func() { <-slots }()
				s.serve(ctx, conn)
			})
		default: // enough; the client is told nothing
			_ = conn.Close()
		}
	}
	s.sessions.Wait()
}

// serve answers one connection.
func (s *Server) serve(ctx context.Context, conn net.Conn) {
	defer conn.Close() //nolint:errcheck // over
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(loginWait))
	client, channels, requests, err := ssh.NewServerConn(conn, s.ssh)
	if err != nil {
		s.config.Log.Warn("SSH: refused", "from", conn.RemoteAddr(), "why", err)
		return
	}
	_ = conn.SetDeadline(time.Time{})
	s.config.Log.Info("SSH: logged in", "from", conn.RemoteAddr(), "key", client.Permissions.Extensions["key"])
	go ssh.DiscardRequests(requests)
	var all sync.WaitGroup
	for offered := range channels {
		if offered.ChannelType() != "session" { // no forwarding
			_ = offered.Reject(ssh.Prohibited, "only sessions are served")
			continue
		}
		channel, asked, err := offered.Accept()
		if err != nil {
			break
		}
		all.Go(func() { s.session(channel, asked) })
	}
	all.Wait()
	s.config.Log.Info("SSH: gone", "from", conn.RemoteAddr())
}
