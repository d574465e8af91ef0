// Package ipmi drives a machine's power through its BMC's IPMI 2.0 service over
// LAN (RMCP+, IPMI specification v2.0, sections 13 and 28). It knows one machine
// and one BMC; it must not know workflows, sites or what the power is wanted for.
package ipmi

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/bougou/go-ipmi/pkg/types"

	"sprout"
	"sprout/power"
)

// A Config says where the BMC is and how to talk to it. Only URL is required.
type Config struct {
	URL      string          // ipmi://host[:port][?cipher=3], without user name and path
	Username string          // at most 16 bytes
	Password string          // at most 20 bytes
	Mode     sprout.BootMode // of a boot for which none is asked: IPMI cannot leave it alone

	Log *slog.Logger

	RequestTimeout time.Duration // for one answer, of which five are tried for; 1 s if zero
}

// port is where IPMI over LAN is served (section 13.1.2).
const port = 623

// The longest names and passwords that fit in the messages (sections 13.20 and
// 22.30).
const (
	maxUsername = 16
	maxPassword = 20
)

// A Driver is a power.Driver for one machine. It keeps one session with the
// BMC, and needs its calls to take turns: that is the governor's.
type Driver struct {
	config Config
	host   string // in brackets if it is an IPv6 address
	port   int
	suites []suite
	log    *slog.Logger

	session *session // nil: none is open
	about   sprout.BMCAbout
	quirk   quirk                           // of the BMC, once it has said what it is
	wanted  types.BootOptionParam_BootFlags // as they were last set
}

var _ power.Driver = (*Driver)(nil)

// New returns a driver that has not yet spoken to the BMC. It fails with an
// Invalid error on a URL, user name or password that cannot be one.
func New(config Config) (*Driver, error) {
	p := &Driver{config: config}
	if err := p.parseURL(config.URL); err != nil {
		return nil, err
	}
	if len(config.Username) > maxUsername {
		return nil, sprout.InvalidField("bmc.username", "cannot be used with IPMI: it has more than %d bytes", maxUsername)
	}
	if len(config.Password) > maxPassword {
		return nil, sprout.InvalidField("bmc.password", "cannot be used with IPMI: it has more than %d bytes", maxPassword)
	}
	p.config.defaults()
	p.log = p.config.Log.With("bmc", p.at())
	return p, nil
}

func (p *Driver) parseURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme != "ipmi" || u.Hostname() == "":
		return sprout.InvalidField("bmc.url", "cannot use the BMC's URL: it must look like ipmi://10.0.0.5")
	case u.User != nil:
		return sprout.InvalidField("bmc.url", "cannot use the BMC's URL: user name and password have fields of their own")
	case strings.Trim(u.Path, "/") != "" || u.Fragment != "":
		return sprout.InvalidField("bmc.url", "cannot use the BMC's URL: it must not have a path")
	}
	p.host, p.port = u.Hostname(), port
	if ip, err := netip.ParseAddr(p.host); err == nil && ip.Is6() {
		p.host = "[" + p.host + "]"
	}
	if s := u.Port(); s != "" {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n == 0 {
			return sprout.InvalidField("bmc.url", "cannot use the BMC's URL: %q is no port", s)
		}
		p.port = int(n)
	}
	p.suites, err = suitesOf(u.Query())
	return err
}

func (c *Config) defaults() {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = time.Second
	}
}

// at is the BMC's address, for people.
func (p *Driver) at() string { return fmt.Sprintf("%s:%d", p.host, p.port) }

// Insert fails with MediaRefused: IPMI has no virtual CD.
func (p *Driver) Insert(context.Context, string) error {
	f := p.fail(sprout.MediaRefused, "the machine is driven by IPMI, which has no virtual CD", p.at())
	f.Remedy = "drive the machine by Redfish (sprout machine update --bmc-driver redfish), or let it boot by network (sprout machine update --virtual-media=false)"
	return f
}

// Eject does nothing: nothing was inserted.
func (p *Driver) Eject(context.Context) error { return nil }

// Media is nothing.
func (p *Driver) Media(context.Context) (power.Reading, error) {
	return power.Reading{Says: "IPMI has no virtual CD"}, nil
}

// About is what the BMC said of itself when the session was opened.
func (p *Driver) About() sprout.BMCAbout { return p.about }

// Close ends the session with the BMC. One that cannot be ended expires by
// itself; that is logged and no error.
func (p *Driver) Close(ctx context.Context) error {
	p.logout(ctx)
	return nil
}

// fail makes a failure that never holds the password, whatever the BMC echoed.
func (p *Driver) fail(code sprout.Code, reason, evidence string) *sprout.Failure {
	if secret := p.config.Password; secret != "" {
		reason, evidence = strings.ReplaceAll(reason, secret, "[secret]"), strings.ReplaceAll(evidence, secret, "[secret]")
	}
	return sprout.Fail(code, reason, evidence)
}
