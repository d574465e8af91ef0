package trust

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"sprout"
)

// Only returns what a client needs to trust nothing but the authorities of a
// PEM text; with an empty one, what the system trusts.
func Only(authorities []byte) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(authorities) == 0 {
		return config, nil
	}
	list, err := Certificates(authorities)
	if err != nil {
		return nil, err
	}
	config.RootCAs = pool(list)
	return config, nil
}

func pool(list []*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range list {
		p.AddCert(c)
	}
	return p
}

// Pinned returns what a client needs to trust, at host, only a chain with the
// certificate of the fingerprint: how to begin before one has that certificate.
func Pinned(fingerprint, host string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: host,
		InsecureSkipVerify: true, //nolint:gosec // verified below, by the fingerprint
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := VerifyPinned(state.PeerCertificates, fingerprint, host)
			return err
		},
	}
}

// VerifyPinned finds the certificate with the fingerprint in the chain that a
// server shows, and verifies the chain by it. Denied if it is not there.
func VerifyPinned(chain []*x509.Certificate, fingerprint, host string) (*x509.Certificate, error) {
	for _, c := range chain {
		if Fingerprint(c) == fingerprint {
			if err := verify(chain, pool([]*x509.Certificate{c}), host); err != nil {
				return nil, sprout.Errorf(sprout.Denied, "cannot trust %s: %v", host, err).
					WithRemedy("add the name to tls.names of the server's configuration, or use one that it has")
			}
			return c, nil
		}
	}
	return nil, sprout.Errorf(sprout.Denied, "cannot trust %s: it shows %s, not the authority %s that was asked for", host, Fingerprint(Top(chain)), fingerprint)
}

// Top returns the last certificate of a chain: the authority where the server
// shows it.
func Top(chain []*x509.Certificate) *x509.Certificate { return chain[len(chain)-1] }

// VerifySystem verifies a chain by what the system trusts.
func VerifySystem(chain []*x509.Certificate, host string) error { return verify(chain, nil, host) }

func verify(chain []*x509.Certificate, roots *x509.CertPool, host string) error {
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: pool(chain[1:]), DNSName: host})
	return err
}

// Shown returns the chain that the server at address (host:port) shows. Nothing
// of it is verified yet, and nothing was sent.
func Shown(ctx context.Context, address string) ([]*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, sprout.Errorf(sprout.Invalid, "%q is not host:port", address)
	}
	dialer := tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: host,
		InsecureSkipVerify: true, //nolint:gosec // it is shown to somebody who compares it
	}}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	var plain tls.RecordHeaderError
	if errors.As(err, &plain) {
		return nil, sprout.Errorf(sprout.Unavailable, "cannot speak TLS with %s: it answers in the clear", address)
	}
	if err != nil {
		return nil, sprout.Errorf(sprout.Unavailable, "cannot reach %s: %w", address, err)
	}
	chain := conn.(*tls.Conn).ConnectionState().PeerCertificates
	if err := conn.Close(); err != nil {
		return nil, fmt.Errorf("cannot end the connection: %w", err)
	}
	return chain, nil
}

// Expired tells whether a connection failed only because the server's certificate
// has run out, or is of the future: that heals when it is renewed.
func Expired(err error) bool {
	var invalid x509.CertificateInvalidError
	return errors.As(err, &invalid) && invalid.Reason == x509.Expired
}

// Distrust tells whether a connection failed because the server's certificate
// is not trusted, and puts that into words for whoever pinned something. It is
// nil for every other error.
func Distrust(err error, server string, authorities []byte) *sprout.Error {
	var refused *tls.CertificateVerificationError
	if !errors.As(err, &refused) || len(refused.UnverifiedCertificates) == 0 {
		return nil
	}
	var name x509.HostnameError
	if errors.As(err, &name) {
		return sprout.Errorf(sprout.Denied, "cannot trust %s: %v", server, name).
			WithRemedy("add the name to tls.names of the server's configuration, or use one that it has")
	}
	var invalid x509.CertificateInvalidError
	if Expired(err) && errors.As(err, &invalid) {
		return sprout.Errorf(sprout.Denied, "cannot trust %s: its certificate has expired, or is of the future: it is good from %s to %s",
			server, invalid.Cert.NotBefore.UTC().Format(time.RFC3339), invalid.Cert.NotAfter.UTC().Format(time.RFC3339)).
			WithRemedy("renew the files of tls.certificate at the server, which reads them again by itself; and compare this host's clock")
	}
	shown := Fingerprint(Top(refused.UnverifiedCertificates))
	pinned, parseErr := Certificates(authorities)
	if parseErr != nil {
		return sprout.Errorf(sprout.Denied, "cannot trust %s: %v", server, refused.Err).WithRemedy("sprout login %s, which shows whom it would trust", server)
	}
	if shown == Fingerprint(pinned[0]) {
		return sprout.Errorf(sprout.Denied, "cannot trust %s: %v", server, refused.Err)
	}
	return sprout.Errorf(sprout.Denied, "cannot trust %s: its authority is %s, not %s that was pinned: somebody may be in between", server, shown, Fingerprint(pinned[0])).
		WithRemedy("ask who runs it; if it was made anew: sprout login %s", server)
}
