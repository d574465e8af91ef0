package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"sprout"
	"sprout/bus"
	"sprout/power"
	"sprout/power/governor"
	"sprout/power/ipmi"
	"sprout/power/manual"
	"sprout/power/redfish"
	"sprout/power/webhook"
)

// bmcs holds one power provider a machine, while it is used and what is known of
// its BMC stays the same. A BMC has few sessions: one that is idle is given back.
type bmcs struct {
	unseal func([]byte) (string, error)
	log    *slog.Logger
	boots  *boots                 // told of what is done
	record func(sprout.MachineID) // has a console recorded; may be nil
	// What speaks Redfish, by whether any certificate is accepted: a machine at rest
	// has no client of its own.
	redfish map[bool]*http.Client
	mu      sync.Mutex
	open    map[sprout.MachineID]*bmc
}

// A bmc tells of what was done.
type bmc struct {
	*governor.Governor
	machine sprout.MachineID
	boots   *boots
	record  func(sprout.MachineID) // nil: its console is not recorded
	known   string                 // what it was made from
}

// newBMCs returns none yet, of machines whose boots are told of.
func newBMCs(boots *boots, unseal func([]byte) (string, error), log *slog.Logger) *bmcs {
	return &bmcs{
		unseal: unseal, log: log, boots: boots, open: map[sprout.MachineID]*bmc{},
		redfish: map[bool]*http.Client{false: redfish.NewClient(nil, false), true: redfish.NewClient(nil, true)},
	}
}

// powerIdle is how long a BMC's session is kept for what is asked next.
const powerIdle = time.Minute

// of returns the machine's provider. Failures are BMCFailed and say what is
// missing.
func (b *bmcs) of(m sprout.SiteMachine) (power.Provider, error) {
	password, err := b.unseal(m.Secret)
	if err != nil {
		return nil, sprout.Fail(sprout.BMCDenied, "the BMC's password cannot be read by this agent", err.Error())
	}
	// The password itself: it is sealed anew whenever the machine is told of.
	known, err := json.Marshal([]any{m.BMC, m.Name, m.BootMode, m.RecordConsole, password})
	if err != nil {
		return nil, fmt.Errorf("cannot read the BMC of machine %s: %w", m.Name, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	old, ok := b.open[m.ID]
	if ok && old.known == string(known) {
		old.Touch()
		return old, nil
	}
	driver, err := b.make(m, password)
	if err != nil {
		return nil, err
	}
	fresh := &bmc{
		Governor: governor.New(driver, governor.Config{Log: b.log.With("machine", m.Name)}), machine: m.ID, boots: b.boots, known: string(known),
	}
	if m.RecordConsole {
		fresh.record = b.record
	}
	b.open[m.ID] = fresh
	if ok {
		b.end(old)
	}
	return fresh, nil
}

func (b *bmcs) make(m sprout.SiteMachine, password string) (power.Driver, error) {
	if m.BMC == nil || m.BMC.Driver == "manual" {
		return manual.Driver{Machine: m.Name}, nil
	}
	driver, err := b.driver(m, password)
	if sprout.KindOf(err) == sprout.Invalid {
		return nil, sprout.Fail(sprout.BMCFailed, "the BMC cannot be used as it is configured", err.Error())
	}
	return driver, err
}

// driver makes the driver that the machine's BMC names.
func (b *bmcs) driver(m sprout.SiteMachine, password string) (power.Driver, error) {
	switch m.BMC.Driver {
	case "redfish":
		return redfish.New(redfish.Config{
			URL: m.BMC.URL, Username: m.BMC.Username, Password: password,
			System: m.BMC.System, Client: b.redfish[m.BMC.Insecure], Insecure: m.BMC.Insecure, Log: b.log, SOL: b.sol(m, password),
		})
	case "ipmi":
		return ipmi.New(ipmi.Config{URL: m.BMC.URL, Username: m.BMC.Username, Password: password, Mode: m.BootMode, Log: b.log})
	case "webhook":
		return webhook.New(webhook.Config{
			URL: m.BMC.URL, Machine: m.Name, System: m.BMC.System, Secret: password, Insecure: m.BMC.Insecure, Log: b.log,
		})
	}
	return nil, sprout.Fail(sprout.BMCFailed, fmt.Sprintf("no power provider is named %q", m.BMC.Driver), "machine "+m.Name)
}

// sol opens the serial console of a BMC that is driven by Redfish with IPMI, at the
// same host and for the same account.
func (b *bmcs) sol(m sprout.SiteMachine, password string) func(context.Context) (io.ReadWriteCloser, error) {
	return func(ctx context.Context) (io.ReadWriteCloser, error) {
		at, err := url.Parse(m.BMC.URL)
		if err != nil {
			return nil, err
		}
		d, err := ipmi.New(ipmi.Config{URL: "ipmi://" + strings.TrimSuffix(at.Host, ":"+at.Port()), Username: m.BMC.Username, Password: password, Log: b.log})
		if err != nil {
			return nil, sprout.Fail(sprout.BMCFailed, "the console cannot be opened by IPMI", err.Error())
		}
		defer func() { _ = d.Close(context.WithoutCancel(ctx)) }() // the line is a session of its own
		return d.Console(ctx)
	}
}

// unseal decrypts a BMC's password; none is the empty one.
func (s *site) unseal(sealed []byte) (string, error) {
	if len(sealed) == 0 {
		return "", nil
	}
	secret, err := bus.Unseal(s.keys.seal, sealed)
	return string(secret), err
}

// end closes a session that nobody will use again. It does not wait for the
// operation in flight: the BMC ends what remains by itself.
func (b *bmcs) end(old *bmc) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := old.Governor.Close(ctx); err != nil {
		b.log.Debug("BMC session not ended", "error", err)
	}
}

// rest ends the sessions that nobody needs, until ctx ends.
func (b *bmcs) rest(ctx context.Context) error {
	return every(ctx, powerIdle/4, func() { b.endIdle(time.Now().Add(-powerIdle)) })
}

// endIdle ends the sessions that were not used since then.
func (b *bmcs) endIdle(since time.Time) {
	var ending sync.WaitGroup
	defer ending.Wait()
	slots := make(chan struct{}, endAtOnce)
	for _, old := range b.idle(since) {
		slots <- struct{}{}
		ending.Go(func() {
			defer func() { <-slots }()
			b.end(old)
		})
	}
}

// endAtOnce is how many idle sessions are ended side by side.
const endAtOnce = 16

// idle takes out the providers that were not used since then.
func (b *bmcs) idle(since time.Time) (idle []*bmc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, old := range b.open {
		if old.Idle(since) {
			delete(b.open, id)
			idle = append(idle, old)
		}
	}
	return idle
}

// close ends every session.
func (b *bmcs) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ending sync.WaitGroup
	for id, old := range b.open {
		delete(b.open, id)
		ending.Go(func() { b.end(old) })
	}
	ending.Wait()
	for _, client := range b.redfish {
		client.CloseIdleConnections()
	}
}

// Set turns power on or off.
func (b *bmc) Set(ctx context.Context, want sprout.PowerState) error {
	began := time.Now()
	if want == sprout.PowerOn && b.record != nil {
		b.record(b.machine)
	}
	err := b.Governor.Set(ctx, want)
	b.boots.powered(b.machine, want, began, err)
	return err
}

// BootOnce chooses the device of the next start only.
func (b *bmc) BootOnce(ctx context.Context, device power.BootDevice, mode sprout.BootMode) error {
	began := time.Now()
	err := b.Governor.BootOnce(ctx, device, mode)
	b.boots.chosen(b.machine, device, began, err)
	return err
}

// InsertMedia has the BMC fetch and insert an image.
func (b *bmc) InsertMedia(ctx context.Context, url string) error {
	began := time.Now()
	err := b.Governor.InsertMedia(ctx, url)
	b.boots.inserted(b.machine, began, err)
	return err
}

// EjectMedia has the BMC take out what it inserted.
func (b *bmc) EjectMedia(ctx context.Context) error {
	began := time.Now()
	err := b.Governor.EjectMedia(ctx)
	b.boots.ejected(b.machine, began, err)
	return err
}

// Close does nothing: the provider is shared and lives as long as the agent.
func (b *bmc) Close(context.Context) error { return nil }
