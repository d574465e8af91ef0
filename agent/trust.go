package agent

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"sprout"
	"sprout/trust"
)

// splitToken parts an enrolment token into what the centre knows and the
// fingerprint of the authority to trust; that is empty where the centre's
// certificate is not of its own authority, or it speaks plain HTTP.
func splitToken(token string) (secret, fingerprint string, err error) {
	secret, pin, pinned := strings.Cut(token, ".")
	if !pinned {
		return secret, "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(pin)
	if err == nil {
		fingerprint, err = trust.ParseFingerprint(hex.EncodeToString(raw))
	}
	if err != nil {
		return "", "", sprout.InvalidField("token", "cannot read the enrolment token: was all of it copied?")
	}
	return secret, fingerprint, nil
}

// enrolling is the HTTP client of an agent that knows no more than its token
// and its configuration.
func (c Config) enrolling(fingerprint string) (*http.Client, error) {
	if c.CA != "" || fingerprint == "" {
		authorities, err := c.authorities()
		if err != nil {
			return nil, err
		}
		return trusting(authorities)
	}
	u, err := url.Parse(c.Server)
	if err != nil || u.Scheme != "https" {
		return nil, sprout.InvalidField("server", "cannot enrol at %s: the token is of a server that speaks TLS, and says whom to trust", c.Server).
			WithRemedy("https://%s", strings.TrimPrefix(c.Server, "http://"))
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = trust.Pinned(fingerprint, u.Hostname())
	return &http.Client{Transport: transport}, nil
}

// authorities are those that the configuration names; empty: the system's.
func (c Config) authorities() ([]byte, error) {
	if c.CA == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, sprout.InvalidField("ca", "cannot read it: %v", err)
	}
	return raw, nil
}

// trusting is an HTTP client that trusts the authorities; the system's where
// there are none.
func trusting(authorities []byte) (*http.Client, error) {
	secure, err := trust.Only(authorities)
	if err != nil {
		return nil, fmt.Errorf("cannot read the control plane's authority: %w", err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = secure
	return &http.Client{Transport: transport}, nil
}

// fetching is the HTTP client of an agent that has enrolled.
func (s *site) fetching() (*http.Client, error) {
	authorities, err := s.config.authorities()
	if err != nil {
		return nil, err
	}
	if len(authorities) == 0 {
		authorities = []byte(s.enrol.CA)
	}
	client, err := trusting(authorities)
	if err == nil {
		client.Transport = expiry{client.Transport, s.sayExpired}
	}
	return client, err
}

// An expiry is a way to the control plane that says when its certificate has run
// out, and when it is good again.
type expiry struct {
	http.RoundTripper
	says func(err error)
}

// RoundTrip is http.RoundTripper's.
func (e expiry) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := e.RoundTripper.RoundTrip(r)
	if err == nil || trust.Expired(err) {
		e.says(err)
	}
	return resp, err
}

// CloseIdleConnections is what http.Client looks for.
func (e expiry) CloseIdleConnections() {
	if t, ok := e.RoundTripper.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

// sayExpired says that the control plane's certificate has run out; nil: that it
// is good.
func (s *site) sayExpired(err error) {
	if err == nil {
		s.troubles.Set(sprout.CertificateExpired, "", "")
		return
	}
	evidence := err.Error()
	if said := trust.Distrust(err, s.config.Server, nil); said != nil {
		evidence = said.Message
	}
	s.troubles.Set(sprout.CertificateExpired, "the control plane's certificate has run out, or this host's clock is wrong: no image can be fetched", evidence)
}

// lookAtCertificate asks the control plane again whose certificate had run out:
// nobody else may for long.
func (s *site) lookAtCertificate(ctx context.Context) {
	if s.troubles.Has(sprout.CertificateExpired) {
		_, _ = s.offCentre(ctx) // sayExpired hears how it went
	}
}
