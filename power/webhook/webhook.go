// Package webhook drives a machine's power through a program of the operator's
// that answers at a URL: a power strip, a hypervisor, a robot. What is said is in
// docs/how-to/power.md. It knows one machine and one URL; it must not know
// workflows, sites or what the power is wanted for.
package webhook

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sprout"
	"sprout/power"
)

// A Config says where the program answers. Only URL is required.
type Config struct {
	URL      string // https://host[:port][/path][?query], without user name
	Machine  string // name, which the program is told
	System   string // what the program calls the machine, if that is another name
	Secret   string // key of the signature; none is made if empty
	Insecure bool   // accept any TLS certificate

	Log *slog.Logger

	RequestTimeout time.Duration                          // 30 s if zero
	SettleTimeout  time.Duration                          // for the power to follow; 2 min if zero
	Poll           time.Duration                          // between looks at the power; 1 s if zero
	Now            func() time.Time                       // of the signature; time.Now if nil
	After          func(d time.Duration) <-chan time.Time // the clock; time.After if nil
}

// A Provider is a power.Provider for one machine. It needs its calls to take
// turns: that is the governor's.
type Provider struct {
	config Config
	at     string // the URL without its query, for people: a query may hold a secret
	http   *http.Client
	log    *slog.Logger
}

var _ power.Provider = (*Provider)(nil)

// New returns a provider that has asked nothing yet. It fails with an Invalid
// error on a URL that is none.
func New(config Config) (*Provider, error) {
	u, err := url.Parse(config.URL)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return nil, sprout.InvalidField("bmc.url", "cannot use the webhook's URL: it must look like https://power.example/machines")
	case u.User != nil:
		return nil, sprout.InvalidField("bmc.url", "cannot use the webhook's URL: it must not hold a user name; requests are signed with the password")
	}
	config.defaults()
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: config.Insecure, MinVersion: tls.VersionTLS12},
		MaxConnsPerHost:     1,
		IdleConnTimeout:     10 * time.Second,
		TLSHandshakeTimeout: 15 * time.Second,
	}
	p := &Provider{config: config, at: u.Scheme + "://" + u.Host + u.Path, log: config.Log.With("webhook", u.Host)}
	p.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return p, nil
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
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.After == nil {
		c.After = time.After
	}
}

// Status asks the program for the power.
func (p *Provider) Status(ctx context.Context) (sprout.PowerState, error) {
	a, err := p.ask(ctx, Request{Do: DoStatus})
	if err != nil {
		return sprout.PowerUnknown, err
	}
	return a.Power, nil
}

// Set has the power turned on or off, and returns once the program says it is so;
// after SettleTimeout it fails with PowerNotChanged.
func (p *Provider) Set(ctx context.Context, want sprout.PowerState) error {
	if want != sprout.PowerOn && want != sprout.PowerOff {
		return sprout.InvalidField("power", "cannot set power to %q: it must be on or off", want)
	}
	is, err := p.Status(ctx)
	if err != nil || is == want {
		return err
	}
	p.log.Info("power", "want", want)
	a, err := p.ask(ctx, Request{Do: DoPower, Power: want})
	if err != nil {
		return err
	}
	return p.settle(ctx, want, a.Power)
}

// settle watches until the power is as wanted.
func (p *Provider) settle(ctx context.Context, want, is sprout.PowerState) error {
	deadline, start := p.config.After(p.config.SettleTimeout), time.Now()
	for is != want {
		evidence := fmt.Sprintf("%s took power %s; it still says %s", p.at, want, is)
		select {
		case <-p.config.After(p.config.Poll):
		case <-deadline:
			return p.fail(sprout.PowerNotChanged, fmt.Sprintf("cannot turn the machine %s: it did not follow within %s", want, p.config.SettleTimeout), evidence)
		case <-ctx.Done():
			return p.fail(sprout.PowerNotChanged, fmt.Sprintf("cannot turn the machine %s: gave up after %s: %v", want, time.Since(start).Round(time.Millisecond), ctx.Err()), evidence)
		}
		var err error
		if is, err = p.Status(ctx); err != nil {
			return err
		}
	}
	return nil
}

// BootOnce has the device of the next start chosen. The program says back what it
// will boot from.
func (p *Provider) BootOnce(ctx context.Context, device power.BootDevice, mode sprout.BootMode) error {
	if device != power.BootNetwork && device != power.BootDisk {
		return sprout.InvalidField("device", "cannot boot from %q: it must be network or disk", device)
	}
	a, err := p.ask(ctx, Request{Do: DoBoot, Device: device, Mode: mode})
	if err != nil {
		return err
	}
	if a.Device != device {
		return p.fail(sprout.BMCFailed, "cannot choose the next boot: the webhook does not say that it will boot from "+string(device),
			fmt.Sprintf("%s answered device %q", p.at, a.Device))
	}
	return nil
}

// InsertMedia fails with MediaRefused: a webhook has no virtual CD.
func (p *Provider) InsertMedia(context.Context, string) error {
	f := p.fail(sprout.MediaRefused, "the machine is driven by a webhook, which has no virtual CD", p.at)
	f.Remedy = "drive the machine by Redfish (sprout machine update --bmc-driver redfish), or let it boot by network (sprout machine update --virtual-media=false)"
	return f
}

// EjectMedia does nothing: nothing was inserted.
func (p *Provider) EjectMedia(context.Context) error { return nil }

// Close ends the connection.
func (p *Provider) Close(context.Context) error {
	p.http.CloseIdleConnections()
	return nil
}

// fail makes a failure that never holds the secret, whatever was answered.
func (p *Provider) fail(code sprout.Code, reason, evidence string) *sprout.Failure {
	if secret := p.config.Secret; secret != "" {
		reason, evidence = strings.ReplaceAll(reason, secret, "[secret]"), strings.ReplaceAll(evidence, secret, "[secret]")
	}
	return sprout.Fail(code, reason, evidence)
}
