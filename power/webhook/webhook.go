// Package webhook drives a machine's power through a program of the operator's
// that answers at a URL: a power strip, a hypervisor, a robot. What is said is in
// docs/how-to/power.md. It knows one machine and one URL; it must not know
// workflows, sites or what the power is wanted for.
package webhook

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
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

	RequestTimeout time.Duration    // 30 s if zero
	Now            func() time.Time // of the signature; time.Now if nil
}

// A Driver is a power.Driver for one machine. It needs its calls to take
// turns: that is the governor's.
type Driver struct {
	config Config
	at     string // the URL without its query, for people: a query may hold a secret
	http   *http.Client
	log    *slog.Logger
	wanted power.BootDevice // what it was last told to boot from, and what it answered
	kept   power.BootDevice
}

var _ power.Driver = (*Driver)(nil)

// New returns a driver that has asked nothing yet. It fails with an Invalid
// error on a URL that is none.
func New(config Config) (*Driver, error) {
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
	p := &Driver{config: config, at: u.Scheme + "://" + u.Host + u.Path, log: config.Log.With("webhook", u.Host)}
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
	if c.Now == nil {
		c.Now = time.Now
	}
}

// Power asks the program for the power.
func (p *Driver) Power(ctx context.Context) (power.Reading, error) {
	a, err := p.ask(ctx, Request{Do: DoStatus})
	if err != nil {
		return power.Reading{Power: sprout.PowerUnknown}, err
	}
	return power.Reading{Power: a.Power, Says: fmt.Sprintf("%s saying %s", p.at, a.Power)}, nil
}

// Switch has the power turned on or off.
func (p *Driver) Switch(ctx context.Context, want sprout.PowerState) error {
	p.log.Info("power", "want", want)
	_, err := p.ask(ctx, Request{Do: DoPower, Power: want})
	return err
}

// Choose has the device of the next start chosen.
func (p *Driver) Choose(ctx context.Context, device power.BootDevice, mode sprout.BootMode) error {
	if device != power.BootNetwork && device != power.BootDisk {
		return sprout.InvalidField("device", "cannot boot from %q: it must be network or disk", device)
	}
	a, err := p.ask(ctx, Request{Do: DoBoot, Device: device, Mode: mode})
	p.wanted, p.kept = device, a.Device
	return err
}

// Systems are none: the program is asked about one machine only.
func (p *Driver) Systems(context.Context) ([]sprout.FoundSystem, error) { return nil, nil }

// Chosen is what the program said, when it was told, that it will boot from.
func (p *Driver) Chosen(context.Context) (power.Reading, error) {
	return power.Reading{Yes: p.kept == p.wanted, Says: fmt.Sprintf("%s answering device %q", p.at, p.kept)}, nil
}

// Insert fails with MediaRefused: a webhook has no virtual CD.
func (p *Driver) Insert(context.Context, string) error {
	f := p.fail(sprout.MediaRefused, "the machine is driven by a webhook, which has no virtual CD", p.at)
	f.Remedy = "drive the machine by Redfish (sprout machine update --bmc-driver redfish), or let it boot by network (sprout machine update --virtual-media=false)"
	return f
}

// Eject does nothing: nothing was inserted.
func (p *Driver) Eject(context.Context) error { return nil }

// Media is nothing.
func (p *Driver) Media(context.Context) (power.Reading, error) {
	return power.Reading{Says: "a webhook has no virtual CD"}, nil
}

// Console fails: a webhook has none.
func (p *Driver) Console(context.Context) (io.ReadWriteCloser, error) {
	f := p.fail(sprout.BMCFailed, "cannot open the console: the machine is driven by a webhook, which has none", p.at)
	f.Remedy = "drive the machine by Redfish or IPMI (sprout machine update --bmc-driver redfish)"
	return nil, f
}

// About is nothing: nobody says what is behind a webhook.
func (p *Driver) About() sprout.BMCAbout { return sprout.BMCAbout{} }

// Close ends the connection.
func (p *Driver) Close(context.Context) error {
	p.http.CloseIdleConnections()
	return nil
}

// fail makes a failure that never holds the secret, whatever was answered.
func (p *Driver) fail(code sprout.Code, reason, evidence string) *sprout.Failure {
	if secret := p.config.Secret; secret != "" {
		reason, evidence = strings.ReplaceAll(reason, secret, "[secret]"), strings.ReplaceAll(evidence, secret, "[secret]")
	}
	return sprout.Fail(code, reason, evidence)
}
