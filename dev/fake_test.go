package dev_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"sprout"
	"sprout/api"
	"sprout/bus"
)

// A fake is a site without machines, over the real bus: whatever work it is
// given succeeds at once. As a real one it knows work again by its id, and sends
// its facts until the hub has them.
type fake struct {
	bus   *bus.Site
	mu    sync.Mutex
	known map[string]bool
	next  int64
	last  int64 // number of the last change applied
	facts []sprout.Fact
	came  chan struct{}
}

func enrolSite(t *testing.T, p *program) *fake {
	t.Helper()
	var site api.CreateSite
	site.Body.Name = "lon1"
	call(t, p, api.SiteCreate, site)
	var ask api.CreateAgentToken
	ask.Body.Site = "lon1"
	var in api.EnrolAgent
	in.Body.Token, in.Body.Name, in.Body.Version, in.Body.Address = call(t, p, api.AgentTokenCreate, ask).Secret, "far", "test", "10.20.0.1"
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	curve, err := nkeys.CreateCurveKeys()
	if err != nil {
		t.Fatal(err)
	}
	in.Body.PublicKey, _ = user.PublicKey()
	in.Body.SealKey, _ = curve.PublicKey()
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	made := call(t, p, api.AgentEnrol, in)
	f := &fake{known: map[string]bool{}, last: made.After, came: make(chan struct{}, 1)}
	if f.bus, err = bus.ConnectSite(bus.SiteConfig{URL: made.Bus.URL, Site: made.Site.ID, Agent: made.Agent.ID, JWT: made.Bus.JWT, Seed: seed, Log: quiet}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { _ = f.bus.Changes(ctx, bus.OneByOne(f.apply)) })
	parts.Go(func() { f.send(ctx) })
	parts.Go(func() { f.beat(ctx, made.Agent.ID) })
	t.Cleanup(func() { stop(); parts.Wait(); f.bus.Close() })
	return f
}

// apply takes changes in their order and answers work by facts.
func (f *fake) apply(_ context.Context, c sprout.Change) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.Seq != f.last+1 {
		if c.Seq <= f.last {
			return nil
		}
		return sprout.Errorf(sprout.Unavailable, "cannot apply change %d after %d", c.Seq, f.last)
	}
	f.last = c.Seq
	if c.Kind != sprout.ChangeWork || f.known[c.Key] {
		return nil
	}
	f.known[c.Key] = true
	var work sprout.Work
	if err := json.Unmarshal(c.Body, &work); err != nil {
		return err
	}
	began := time.Now().UTC().Truncate(time.Microsecond)
	f.add(work, sprout.FactStep, sprout.StepRecord{Name: "power-on", At: "site", Attempt: 1, Outcome: "done", StartedAt: began, EndedAt: &began})
	f.add(work, sprout.FactWorkEnded, sprout.WorkResult{State: sprout.Succeeded})
	return nil
}

func (f *fake) add(work sprout.Work, kind sprout.FactKind, body any) {
	raw, _ := json.Marshal(body) // of our own types
	f.next++
	f.facts = append(f.facts, sprout.Fact{Seq: f.next, At: time.Now().UTC(), Kind: kind, Machine: work.Machine, Work: work.ID, Body: raw})
	select {
	case f.came <- struct{}{}:
	default:
	}
}

func (f *fake) worked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.known)
}

// applied returns the number of the last change that it applied, once that is
// want or has not become it for some seconds.
func (f *fake) applied(t *testing.T, want int64) (last int64) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		f.mu.Lock()
		last = f.last
		f.mu.Unlock()
		if last == want {
			break
		}
	}
	return last
}

// send sends facts until the hub has stored them.
func (f *fake) send(ctx context.Context) {
	retry := time.NewTicker(200 * time.Millisecond)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.came:
		case <-retry.C:
		}
		f.mu.Lock()
		waiting := f.facts
		f.mu.Unlock()
		if len(waiting) == 0 {
			continue
		}
		stored, _ := f.bus.PublishFacts(ctx, waiting...)
		f.mu.Lock()
		f.facts = f.facts[stored:]
		f.mu.Unlock()
	}
}

// beat tells how far it is: the centre sends again what the bus lost.
func (f *fake) beat(ctx context.Context, agent sprout.AgentID) {
	tick := time.NewTicker(sprout.HeartbeatEvery)
	defer tick.Stop()
	for {
		f.mu.Lock()
		beat := sprout.Heartbeat{Agent: agent, Version: "test", Address: "10.20.0.1", Applied: f.last, Facts: f.next, At: time.Now()}
		f.mu.Unlock()
		_ = f.bus.PublishBeat(beat) // lost while the hub is away
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
