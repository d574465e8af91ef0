// Package redfish drives a machine's power through its BMC's Redfish service
// (DMTF DSP0266). It knows one machine and one service; it must not know
// workflows, sites or what the power is wanted for.
package redfish

import (
	"context"
	"crypto/tls"
	"io"
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

	Client *http.Client                                                      // replaces Dial and Insecure; others may share it, and it is not closed
	Dial   func(ctx context.Context, network, addr string) (net.Conn, error) // net.Dialer's if nil
	Log    *slog.Logger
	// SOL opens the serial console by IPMI at the same BMC; nil: that is not tried.
	SOL func(ctx context.Context) (io.ReadWriteCloser, error)

	RequestTimeout time.Duration                          // of one HTTP request; 30 s if zero
	Poll           time.Duration                          // between looks at a task, and tries of a BMC that is busy; 1 s if zero
	After          func(d time.Duration) <-chan time.Time // the clock; time.After if nil
}

// A Driver is a power.Driver for one machine. It keeps one session with the BMC,
// and needs its calls to take turns: that is the governor's.
type Driver struct {
	config Config
	base   *url.URL
	http   *http.Client
	log    *slog.Logger

	session session
	found   found
	wanted  map[string]string // of the boot override, as it was last set
	image   string            // URL of what was inserted last: a secret
}

// found is what the BMC has said of itself. It is looked for anew after a login, a
// silence, and a 404: the BMC may have been replaced, or have restarted as another.
type found struct {
	system string // path of the ComputerSystem
	drive  string // path of the virtual CD drive
	about  sprout.BMCAbout
	quirk  quirk
	byIPMI bool // the manager offers its serial console by IPMI
}

var _ power.Driver = (*Driver)(nil)

// New returns a driver that has not yet spoken to the BMC. It fails with an
// Invalid error on a URL that is none.
func New(config Config) (*Driver, error) {
	base, err := parseURL(config.URL)
	if err != nil {
		return nil, err
	}
	config.defaults()
	p := &Driver{config: config, base: base, http: config.Client}
	p.log = config.Log.With("bmc", base.Host)
	if p.http == nil {
		p.http = NewClient(config.Dial, config.Insecure)
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
	if c.Poll == 0 {
		c.Poll = time.Second
	}
	if c.After == nil {
		c.After = time.After
	}
}

// NewClient returns a client that the drivers of many BMCs can share. A driver whose
// calls take turns has one connection, which closes soon after its last request.
func NewClient(dial func(ctx context.Context, network, addr string) (net.Conn, error), insecure bool) *http.Client {
	transport := &http.Transport{
		DialContext:         dial,
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: insecure, MinVersion: tls.VersionTLS12},
		MaxIdleConnsPerHost: 64,               // machines that one BMC is for
		IdleConnTimeout:     10 * time.Second, // of a power-off and the polls that follow it
		TLSHandshakeTimeout: 15 * time.Second,
	}
	return &http.Client{Transport: transport}
}

// withinHost returns a copy of client that follows no redirect to another host:
// it would get our credentials.
func (p *Driver) withinHost(client *http.Client) *http.Client {
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
func (p *Driver) Close(ctx context.Context) error {
	p.logout(ctx)
	if p.config.Client == nil {
		p.http.CloseIdleConnections()
	}
	return nil
}

// pause waits for d or for ctx to end.
func (p *Driver) pause(ctx context.Context, d time.Duration) error {
	select {
	case <-p.config.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fail makes a failure that never holds the password, whatever the BMC echoed.
func (p *Driver) fail(code sprout.Code, reason, evidence string) *sprout.Failure {
	return sprout.Fail(code, p.scrub(reason), p.scrub(evidence))
}

func (p *Driver) scrub(s string) string {
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
