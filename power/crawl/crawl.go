// Package crawl looks for BMCs at addresses: by what they say to anybody, and with
// credentials by what they tell of the machines behind them. It never tries credentials
// twice at one BMC, and gives them up where several in a row refuse them, so that no
// account is locked. It must not know which machines there are to the control plane, nor
// what becomes of what it finds.
package crawl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"sprout"
	"sprout/power"
	"sprout/power/governor"
	"sprout/power/ipmi"
	"sprout/power/redfish"
)

const (
	readAtOnce   = 16                     // BMCs that are read side by side, of all crawls together
	greetAtOnce  = 64                     // addresses that are greeted side by side, likewise
	greetWithin  = 2 * time.Second        // for the first answer of a Redfish service
	readWithin   = 30 * time.Second       // for all that a BMC is asked
	looksWithin  = 70 * time.Second       // for one question
	startedEvery = 20 * time.Millisecond  // between the addresses of one question
	requestTime  = 10 * time.Second       // for one answer of a Redfish service
	ipmiAnswers  = 500 * time.Millisecond // for one answer by IPMI, which is asked for five times
)

// A Known is a BMC that is a machine's already. It is read with that machine's account,
// by its governor.
type Known struct {
	Machine string // name
	Driver  string
	URL     string
	Systems func(context.Context) ([]sprout.FoundSystem, error)
}

// A Crawler keeps, while it lives, which credentials were refused where. Its methods may
// be called at once.
type Crawler struct {
	Log *slog.Logger
	Now func() time.Time

	greeting, reading chan struct{}
	mu                sync.Mutex
	accounts          map[fingerprint]*account
}

// New returns a crawler that has tried nothing yet.
func New(log *slog.Logger, now func() time.Time) *Crawler {
	return &Crawler{
		Log: log, Now: now, greeting: make(chan struct{}, greetAtOnce), reading: make(chan struct{}, readAtOnce), accounts: map[fingerprint]*account{},
	}
}

// Look looks at every address of the question, and returns what is there in their order.
// password is the one that the question has sealed; known says which BMC is a machine's.
func (c *Crawler) Look(ctx context.Context, q sprout.CrawlQuestion, password string, known func(netip.Addr) (Known, bool)) []sprout.FoundBMC {
	ctx, cancel := context.WithTimeout(ctx, looksWithin)
	defer cancel()
	found := make([]sprout.FoundBMC, len(q.Addresses))
	var looking sync.WaitGroup
	for i, ip := range q.Addresses {
		looking.Go(func() {
			if own, is := known(ip); is {
				found[i] = c.readKnown(ctx, own)
			} else {
				found[i] = c.look(ctx, q, password, ip)
			}
			found[i].Address = ip
		})
		_ = sprout.Pause(ctx, startedEvery)
	}
	looking.Wait()
	return found
}

// look looks at one address.
func (c *Crawler) look(ctx context.Context, q sprout.CrawlQuestion, password string, ip netip.Addr) sprout.FoundBMC {
	f, open := c.greet(ctx, q, password, ip)
	if f.State != sprout.BMCSeen {
		return f
	}
	if q.Username == "" && password == "" {
		f.Why = "no credentials were given to read it with"
		return f
	}
	why, done := c.account(q.Username, password).admit(ctx, ip, c.Now)
	if why != "" {
		f.State, f.Why = sprout.BMCUntried, why
		return f
	}
	systems, err := c.read(ctx, open)
	done(err)
	return told(f, systems, err)
}

// greet asks who is at an address, by Redfish and then by IPMI, without credentials, and
// says how it could be driven.
func (c *Crawler) greet(ctx context.Context, q sprout.CrawlQuestion, password string, ip netip.Addr) (f sprout.FoundBMC, open func() (power.Driver, error)) {
	f.State = sprout.BMCSilent
	if !take(ctx, c.greeting) {
		f.State, f.Why = sprout.BMCUntried, noTime
		return f, nil
	}
	defer func() { <-c.greeting }()
	if q.Redfish != "" {
		url := sprout.BMCURL(q.Redfish, ip)
		config := redfish.Config{URL: url, Username: q.Username, Password: password, Insecure: q.Insecure, RequestTimeout: requestTime, Log: c.Log}
		about, err := greetRedfish(ctx, url, true)
		if err == nil {
			f.State, f.Driver, f.URL, f.Vendor = sprout.BMCSeen, "redfish", url, strings.TrimSpace(about.Vendor+" "+about.Model)
			if !q.Insecure && q.Username+password != "" {
				if _, err := greetRedfish(ctx, url, false); untrusted(err) {
					f.State, f.Why = sprout.BMCUntrusted, noTrust
				}
			}
			return f, func() (power.Driver, error) { return redfish.New(config) }
		}
		otherThere(&f, err)
	}
	if q.IPMI != "" {
		config := ipmi.Config{URL: sprout.BMCURL(q.IPMI, ip), Username: q.Username, Password: password, RequestTimeout: ipmiAnswers, Log: c.Log}
		driver, err := ipmi.New(config)
		if err == nil {
			err = driver.Greet(ctx)
		}
		if err == nil {
			f.State, f.Driver, f.URL, f.Why = sprout.BMCSeen, "ipmi", config.URL, ""
			return f, func() (power.Driver, error) { return driver, nil }
		}
		otherThere(&f, err)
	}
	if ctx.Err() != nil && f.State == sprout.BMCSilent {
		f.State, f.Why = sprout.BMCUntried, noTime
	}
	return f, nil
}

const (
	noTime  = "there was no time left for it: the BMCs before it were slow"
	noTrust = "its certificate cannot be trusted, so the credentials were not shown to it"
)

// greetRedfish greets a Redfish service; where it is insecure, whatever its certificate:
// nothing secret is said to it.
func greetRedfish(ctx context.Context, url string, insecure bool) (sprout.BMCAbout, error) {
	driver, err := redfish.New(redfish.Config{URL: url, Insecure: insecure, RequestTimeout: greetWithin})
	if err != nil {
		return sprout.BMCAbout{}, err
	}
	defer func() { _ = driver.Close(ctx) }() // it has no session
	return driver.Greet(ctx)
}

// otherThere notes that something answered that is no BMC, or that cannot be used.
func otherThere(f *sprout.FoundBMC, err error) {
	var failure *sprout.Failure
	if errors.As(err, &failure) && failure.Code == sprout.BMCUnreachable {
		return
	}
	f.State, f.Why = sprout.BMCOther, err.Error()
	if failure != nil {
		f.Why = failure.Reason
	}
}

// read reads what a BMC tells, by a governor of its own.
func (c *Crawler) read(ctx context.Context, open func() (power.Driver, error)) ([]sprout.FoundSystem, error) {
	driver, err := open()
	if err != nil {
		return nil, err
	}
	g := governor.New(driver, governor.Config{Log: c.Log})
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTime)
		defer cancel()
		_ = g.Close(ending) // what remains of its session expires by itself
	}()
	return c.systems(ctx, g.Systems)
}

// systems reads when there is a place, and not for longer than a BMC may take.
func (c *Crawler) systems(ctx context.Context, ask func(context.Context) ([]sprout.FoundSystem, error)) ([]sprout.FoundSystem, error) {
	if !take(ctx, c.reading) {
		return nil, sprout.Fail(sprout.BMCFailed, noTime, "")
	}
	defer func() { <-c.reading }()
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	return ask(ctx)
}

// readKnown reads the BMC of a machine.
func (c *Crawler) readKnown(ctx context.Context, own Known) sprout.FoundBMC {
	f := sprout.FoundBMC{State: sprout.BMCSeen, Driver: own.Driver, URL: own.URL, Account: own.Machine}
	systems, err := c.systems(ctx, own.Systems)
	return told(f, systems, err)
}

// told is what was found where a BMC told, or did not.
func told(f sprout.FoundBMC, systems []sprout.FoundSystem, err error) sprout.FoundBMC {
	f.State, f.Systems = sprout.BMCRead, systems
	if err == nil {
		return f
	}
	f.State, f.Why, f.Systems = sprout.BMCBroken, err.Error(), nil
	var failure *sprout.Failure
	if !errors.As(err, &failure) {
		return f
	}
	f.Why = failure.Reason
	switch {
	case failure.Code == sprout.BMCDenied:
		f.State = sprout.BMCRefused
	case untrusted(err):
		f.State, f.Why = sprout.BMCUntrusted, noTrust
	case failure.Evidence != "":
		f.Why = fmt.Sprintf("%s (%s)", failure.Reason, failure.Evidence)
	}
	return f
}

// untrusted tells whether a BMC was not spoken to because of its certificate.
func untrusted(err error) bool {
	var failure *sprout.Failure
	return errors.As(err, &failure) && failure.Code == sprout.BMCUnreachable && strings.Contains(failure.Evidence, "x509:")
}

// take takes a place unless ctx ends before there is one.
func take(ctx context.Context, places chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}
