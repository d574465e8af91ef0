// Package powerdns has a PowerDNS authoritative server answer for a site's zones:
// the agent tells it by its HTTP API what they hold. It must not know where names
// come from, and leaves zones alone that Sprout did not make.
package powerdns

import (
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"sprout"
	"sprout/dns/zone"
)

// A Config says which PowerDNS answers, and for what.
type Config struct {
	// URL is where its HTTP API is, as http://127.0.0.1:8081. Beyond this host it
	// must be https: each request carries the key.
	URL string
	// KeyFile holds the key of its API. It is read each time that PowerDNS is
	// connected to.
	KeyFile string
	// Server is what the API calls the server; empty: localhost.
	Server string
	// TakeOver allows to replace zones that Sprout did not make for Site.
	TakeOver bool
	// Site owns the zones that are made.
	Site sprout.SiteID
	// Zones are what PowerDNS is told.
	Zones *zone.DB
	// Trouble is told what is wrong with PowerDNS, and that it is over by an empty
	// reason; nil: nobody is. The codes are Codes.
	Trouble func(code sprout.Code, reason, evidence string)
	// Log takes what is worth reading later; nil: nothing is logged.
	Log *slog.Logger
	// Takes is how long PowerDNS may take to answer; 0: 30 s.
	Takes time.Duration
	// Rest is how long the names of a site must have rested before PowerDNS is
	// compared with them as a whole: while an agent that begins anew still
	// receives them, names that did not come yet are not taken away. 0: 1 s.
	Rest time.Duration
	// Look is after how long PowerDNS is looked at though nothing changed; 0: 30 s.
	Look time.Duration
}

// Codes are the problems that a Server may tell.
var Codes = []sprout.Code{sprout.PowerDNSUnreachable, sprout.PowerDNSRefused, sprout.PowerDNSChanged}

// Check says what is wrong with how an operator configured it, by field.
func (c Config) Check() error {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return sprout.InvalidField("dns.powerdns.url", "cannot use it: it must be the URL of PowerDNS's API, like http://127.0.0.1:8081")
	case u.Scheme == "http" && !here(u.Hostname()):
		return sprout.InvalidField("dns.powerdns.url", "cannot send the API's key in the clear to %s: use https, or a PowerDNS on this host", u.Hostname())
	case c.KeyFile == "":
		return sprout.InvalidField("dns.powerdns.keyFile", "cannot speak to PowerDNS without its API's key: name a file that holds it")
	}
	return nil
}

// here tells whether a host is this one.
func here(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// New checks the configuration and makes a server that Serve runs once. Errors
// are Invalid and name the field.
func New(c Config) (*Server, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	switch {
	case c.Zones == nil:
		return nil, sprout.InvalidField("zones", "cannot tell PowerDNS of names without zones")
	case c.Site == "":
		return nil, sprout.InvalidField("site", "cannot make zones that are of no site")
	}
	if c.Server == "" {
		c.Server = "localhost"
	}
	if c.Trouble == nil {
		c.Trouble = func(sprout.Code, string, string) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	for _, d := range []struct {
		is    *time.Duration
		usual time.Duration
	}{{&c.Takes, 30 * time.Second}, {&c.Rest, time.Second}, {&c.Look, 30 * time.Second}} {
		if *d.is == 0 {
			*d.is = d.usual
		}
	}
	s := &Server{config: c, ready: make(chan struct{}), wake: make(chan struct{}, 1), changed: map[string]bool{}}
	s.api = api{
		base: c.URL + "/api/v1/servers/" + url.PathEscape(c.Server), takes: c.Takes,
		// A redirection would take the key elsewhere.
		http: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	return s, nil
}
