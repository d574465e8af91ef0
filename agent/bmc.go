package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sprout"
	"sprout/bus"
	"sprout/power"
	"sprout/power/manual"
	"sprout/power/redfish"
)

// bmcs holds one power provider a machine, while it is used and what is known of
// its BMC stays the same. A BMC has few sessions: one that is idle is given back.
type bmcs struct {
	unseal func([]byte) (string, error)
	log    *slog.Logger
	boots  *boots // told of what is done
	mu     sync.Mutex
	open   map[sprout.MachineID]*bmc
}

// A bmc does one operation at a time: service processors are small.
type bmc struct {
	power.Provider
	machine sprout.MachineID
	boots   *boots
	known   string        // what it was made from
	turn    chan struct{} // holds one token
	used    atomic.Int64  // when it last was, in Unix nanoseconds
}

// powerIdle is how long a BMC's session is kept for what is asked next.
const powerIdle = time.Minute

// of returns the machine's provider. Failures are BMCFailed and say what is
// missing.
func (b *bmcs) of(m sprout.SiteMachine) (power.Provider, error) {
	known, err := json.Marshal([]any{m.BMC, m.Secret})
	if err != nil {
		return nil, fmt.Errorf("cannot read the BMC of machine %s: %w", m.Name, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	old, ok := b.open[m.ID]
	if ok && old.known == string(known) {
		old.touch()
		return old, nil
	}
	provider, err := b.make(m)
	if err != nil {
		return nil, err
	}
	fresh := &bmc{Provider: provider, machine: m.ID, boots: b.boots, known: string(known), turn: make(chan struct{}, 1)}
	fresh.turn <- struct{}{}
	fresh.touch()
	b.open[m.ID] = fresh
	if ok {
		b.end(old)
	}
	return fresh, nil
}

func (b *bmcs) make(m sprout.SiteMachine) (power.Provider, error) {
	if m.BMC == nil || m.BMC.Driver == "manual" {
		return manual.Provider{Machine: m.Name}, nil
	}
	if m.BMC.Driver != "redfish" {
		return nil, sprout.Fail(sprout.BMCFailed, fmt.Sprintf("no power provider is named %q", m.BMC.Driver), "machine "+m.Name)
	}
	password, err := b.unseal(m.Secret)
	if err != nil {
		return nil, sprout.Fail(sprout.BMCDenied, "the BMC's password cannot be read by this agent", err.Error())
	}
	provider, err := redfish.New(redfish.Config{
		URL: m.BMC.URL, Username: m.BMC.Username, Password: password,
		System: m.BMC.System, Insecure: m.BMC.Insecure, Log: b.log,
	})
	if err != nil {
		return nil, sprout.Fail(sprout.BMCFailed, "the BMC cannot be used as it is configured", err.Error())
	}
	return provider, nil
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
	if err := old.Provider.Close(ctx); err != nil {
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
		if old.used.Load() < since.UnixNano() && len(old.turn) == 1 {
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
}

// inTurn runs one operation when those before it have ended.
func (b *bmc) inTurn(ctx context.Context, do func() error) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-b.turn:
	}
	defer func() {
		b.touch()
		b.turn <- struct{}{}
	}()
	return do()
}

func (b *bmc) touch() { b.used.Store(time.Now().UnixNano()) }

// Status asks the BMC.
func (b *bmc) Status(ctx context.Context) (state sprout.PowerState, err error) {
	state = sprout.PowerUnknown
	err = b.inTurn(ctx, func() error { state, err = b.Provider.Status(ctx); return err })
	return state, err
}

// Set turns power on or off.
func (b *bmc) Set(ctx context.Context, want sprout.PowerState) error {
	began := time.Now()
	err := b.inTurn(ctx, func() error { return b.Provider.Set(ctx, want) })
	b.boots.powered(b.machine, want, began, err)
	return err
}

// BootOnce chooses the device of the next start only.
func (b *bmc) BootOnce(ctx context.Context, device power.BootDevice, mode sprout.BootMode) error {
	began := time.Now()
	err := b.inTurn(ctx, func() error { return b.Provider.BootOnce(ctx, device, mode) })
	b.boots.chosen(b.machine, device, began, err)
	return err
}

// Close does nothing: the provider is shared and lives as long as the agent.
func (b *bmc) Close(context.Context) error { return nil }
