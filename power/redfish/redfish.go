// Package redfish drives a machine's power through its BMC's Redfish service
// (DMTF DSP0266). It knows one machine and one service; it must not know
// workflows, sites or what the power is wanted for.
package redfish

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sprout"
	"sprout/power"
)

// A Config says where the BMC is and how to talk to it. Only URL is required.
type Config struct {
	URL      string // https://host[:port], without user name and path
	Username string
	Password string
	System   string // id of the ComputerSystem; the only one if empty
	Insecure bool   // accept any TLS certificate

	Client *http.Client                                                      // replaces Dial and Insecure
	Dial   func(ctx context.Context, network, addr string) (net.Conn, error) // net.Dialer's if nil
	Log    *slog.Logger

	RequestTimeout time.Duration                          // of one HTTP request; 30 s if zero
	SettleTimeout  time.Duration                          // for the power to follow a command; 2 min if zero
	Poll           time.Duration                          // between looks at the power state; 1 s if zero
	After          func(d time.Duration) <-chan time.Time // the clock; time.After if nil
}

// A Provider is a power.Provider for one machine. It keeps one session with
// the BMC and does one operation at a time.
type Provider struct {
	config Config
	base   *url.URL
	http   *http.Client
	log    *slog.Logger

	turn    chan struct{} // holds one token: whoever has it talks to the BMC
	session session
	system  string // path of the ComputerSystem, once found
	drive   string // path of the virtual CD drive, once found
	image   string // URL of what was inserted last: a secret
}

var _ power.Provider = (*Provider)(nil)

// New returns a provider that has not yet spoken to the BMC. It fails with an
// Invalid error on a URL that is none.
func New(config Config) (*Provider, error) {
	base, err := parseURL(config.URL)
	if err != nil {
		return nil, err
	}
	config.defaults()
	p := &Provider{config: config, base: base, http: config.Client, turn: make(chan struct{}, 1)}
	p.log = config.Log.With("bmc", base.Host)
	p.turn <- struct{}{}
	if p.http == nil {
		p.http = newClient(config)
	}
	p.http = p.withinHost(p.http)
	return p, nil
}

func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return nil, sprout.InvalidField("bmc.url", "cannot use the BMC's URL: it must look like https://10.0.0.5")
	case u.User != nil:
		return nil, sprout.InvalidField("bmc.url", "cannot use the BMC's URL: user name and password have fields of their own")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
		return nil, sprout.InvalidField("bmc.url", "cannot use the BMC's URL: it must not have a path")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

func (c *Config) defaults() {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = 30 * time.Second
	}
	if c.SettleTimeout == 0 {
		c.SettleTimeout = 2 * time.Minute
	}
	if c.Poll == 0 {
		c.Poll = time.Second
	}
	if c.After == nil {
		c.After = time.After
	}
}

func newClient(config Config) *http.Client {
	transport := &http.Transport{
		DialContext:         config.Dial,
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: config.Insecure, MinVersion: tls.VersionTLS12},
		MaxConnsPerHost:     1,                // BMCs are small
		IdleConnTimeout:     10 * time.Second, // of a power-off and the polls that follow it
		TLSHandshakeTimeout: 15 * time.Second,
	}
	return &http.Client{Transport: transport}
}

// withinHost returns a copy of client that follows no redirect to another host:
// it would get our credentials.
func (p *Provider) withinHost(client *http.Client) *http.Client {
	c := *client
	c.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if req.URL.Host != p.base.Host || req.URL.Scheme != p.base.Scheme || len(via) > 3 {
			return http.ErrUseLastResponse
		}
		return nil
	}
	return &c
}

// Close ends the session with the BMC. A session that cannot be ended expires
// by itself; that is logged and no error.
func (p *Provider) Close(ctx context.Context) error {
	if err := p.take(ctx); err != nil {
		return err
	}
	defer p.give()
	p.logout(ctx)
	p.http.CloseIdleConnections()
	return nil
}

// take waits for this provider's turn at the BMC; give ends it.
func (p *Provider) take(ctx context.Context) error {
	select {
	case <-p.turn:
		return nil
	case <-ctx.Done():
		return p.fail(sprout.BMCUnreachable, "cannot reach the BMC: "+ctx.Err().Error(), "waited for an earlier operation on "+p.base.String())
	}
}

func (p *Provider) give() { p.turn <- struct{}{} }

// pause waits for d or for ctx to end.
func (p *Provider) pause(ctx context.Context, d time.Duration) error {
	select {
	case <-p.config.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fail makes a failure that never holds the password, whatever the BMC echoed.
func (p *Provider) fail(code sprout.Code, reason, evidence string) *sprout.Failure {
	return sprout.Fail(code, p.scrub(reason), p.scrub(evidence))
}

func (p *Provider) scrub(s string) string {
	secrets := []string{p.config.Password, p.session.token, p.image}
	if u, err := url.Parse(p.image); err == nil && len(u.Path) > 1 {
		secrets = append(secrets, u.Path) // as a BMC may echo it
	}
	for _, secret := range secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "[secret]")
		}
	}
	return s
}
