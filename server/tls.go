package server

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sprout"
	"sprout/store"
	"sprout/trust"
)

// Authority returns the installation's own authority. It is made once and kept
// sealed in the database, so that every replica has the same.
func Authority(ctx context.Context, s *store.Store) (trust.Authority, error) {
	raw, err := s.Setting(ctx, "authority", func() ([]byte, error) {
		made, err := trust.NewAuthority(time.Now())
		if err != nil {
			return nil, err
		}
		return made.Private()
	})
	if err != nil {
		return trust.Authority{}, err
	}
	return trust.ReadAuthority(raw)
}

// A shown is the certificate that the server shows, renewed by itself.
type shown interface {
	Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// openTrust makes the certificates of the API and of the bus. The authority's
// own is written beside the other data, for whoever compares or copies it.
func (s *Server) openTrust(ctx context.Context) (err error) {
	if s.authority, err = Authority(ctx, s.store); err != nil {
		return err
	}
	if err := os.WriteFile(s.authorityFile(), s.authority.PEM(), 0o644); err != nil {
		return sprout.InvalidField("dir", "cannot write the authority's certificate: %v", err)
	}
	s.own = trust.NewIssuer(s.authority, s.names())
	return nil
}

func (s *Server) authorityFile() string { return filepath.Join(s.config.Dir, "ca.crt") }

// names is what the server is called: every name that the configuration and the
// host tell. Addresses of the host are added as connections come to them.
func (s *Server) names() []string {
	names := append([]string{"localhost", "127.0.0.1", "::1"}, s.config.TLS.Names...)
	if host, err := os.Hostname(); err == nil && host != "" {
		names = append(names, host)
	}
	hosts := []string{s.config.Listen, s.config.Bus.Listen}
	for announced := range strings.SplitSeq(s.config.Bus.Announce, ",") {
		if u, err := url.Parse(announced); err == nil {
			hosts = append(hosts, u.Host)
		}
	}
	var all []string
	for _, at := range hosts {
		host, _, err := net.SplitHostPort(at)
		if err != nil {
			host = at
		}
		names = append(names, host)
	}
	seen := map[string]bool{"": true}
	for _, name := range names {
		ip, err := netip.ParseAddr(name)
		if !seen[name] && (err != nil || !ip.IsUnspecified()) {
			all, seen[name] = append(all, name), true
		}
	}
	return all
}

// apiTLS is how the API is served; nil: in the clear.
func (s *Server) apiTLS() (*tls.Config, error) {
	if s.config.TLS.Disable {
		return nil, nil
	}
	var from shown = s.own
	if s.config.TLS.Certificate != "" {
		files, err := trust.OpenFiles(s.config.TLS.Certificate, s.config.TLS.Key)
		if err != nil {
			return nil, err
		}
		from = files
	}
	s.shown = from
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: from.Certificate}, nil
}

// busTLS is how the embedded bus is served; nil: in the clear.
func (s *Server) busTLS() *tls.Config {
	if s.config.Bus.Plain {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.own.Certificate}
}

// busAuthority is by which agents and replicas trust the bus; empty: it is in
// the clear, or of a cluster that the system trusts.
func (s *Server) busAuthority() ([]byte, error) {
	switch {
	case s.config.Bus.URL == "" && s.config.Bus.Plain:
		return nil, nil
	case s.config.Bus.URL == "":
		return s.authority.PEM(), nil
	case s.config.Bus.CA == "":
		return nil, nil
	}
	raw, err := os.ReadFile(s.config.Bus.CA)
	if err != nil {
		return nil, sprout.InvalidField("bus.ca", "cannot read it: %v", err)
	}
	if _, err := trust.Certificates(raw); err != nil {
		return nil, sprout.InvalidField("bus.ca", "%v", err)
	}
	return raw, nil
}

// apiAuthority is by which agents trust the API; empty where it shows a
// certificate that is not of our authority.
func (s *Server) apiAuthority() []byte {
	if s.config.TLS.Disable || s.config.TLS.Certificate != "" {
		return nil
	}
	return s.authority.PEM()
}

// pinned adds the authority's fingerprint to an enrolment token, so that the
// agent knows whom to trust before it shows that.
func (s *Server) pinned(secret string) (string, error) {
	if s.apiAuthority() == nil {
		return secret, nil
	}
	raw, err := hex.DecodeString(strings.TrimPrefix(trust.Fingerprint(s.authority.Certificate), "sha256:"))
	if err != nil {
		return "", fmt.Errorf("cannot write the fingerprint: %w", err)
	}
	return secret + "." + base64.RawURLEncoding.EncodeToString(raw), nil
}
