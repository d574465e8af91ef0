package server_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"sprout"
	"sprout/api"
	"sprout/bus"
	"sprout/client"
)

// An answering site takes changes in their order only, as a real one does, and
// reports each piece of work as done, until the hub has it.
type answering struct {
	site    sprout.SiteID
	agent   sprout.AgentID
	bus     *bus.Site
	mu      sync.Mutex
	applied int64
	made    int64
	waiting []sprout.Fact
	came    chan struct{}
	stop    func()
}

func enrolAnswering(t *testing.T, admin *client.Client, hub string) *answering {
	t.Helper()
	var ask api.CreateAgentToken
	ask.Body.Site = "lon1"
	var in api.EnrolAgent
	in.Body.Token, in.Body.Name, in.Body.Version, in.Body.Address = must(client.Call(t.Context(), admin, api.AgentTokenCreate, ask))(t).Secret, "far", sprout.Version, "10.20.0.1"
	user, curve := must(nkeys.CreateUser())(t), must(nkeys.CreateCurveKeys())(t)
	in.Body.PublicKey, in.Body.SealKey = must(user.PublicKey())(t), must(curve.PublicKey())(t)
	made := must(client.Call(t.Context(), admin, api.AgentEnrol, in))(t)
	f := &answering{site: made.Site.ID, agent: made.Agent.ID, applied: made.After, came: make(chan struct{}, 1)}
	f.bus = must(bus.ConnectSite(bus.SiteConfig{
		URL: hub, Site: f.site, Agent: f.agent, JWT: made.Bus.JWT, Seed: must(user.Seed())(t), Log: slog.New(slog.DiscardHandler),
	}))(t)
	ctx, stop := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { _ = f.bus.Changes(ctx, bus.OneByOne(f.apply)) })
	parts.Go(func() { f.send(ctx) })
	parts.Go(func() { f.beat(ctx) })
	f.stop = func() { stop(); parts.Wait(); f.bus.Close() }
	return f
}

func (f *answering) apply(_ context.Context, c sprout.Change) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case c.Seq <= f.applied:
		return nil
	case c.Seq != f.applied+1:
		return sprout.Errorf(sprout.Unavailable, "cannot apply change %d after %d", c.Seq, f.applied)
	}
	f.applied = c.Seq
	if c.Kind == sprout.ChangeWork {
		now := time.Now().UTC()
		f.add(sprout.FactStep, c.Key, sprout.StepRecord{Name: "work", At: "site", Attempt: 1, Outcome: "done", StartedAt: now, EndedAt: &now})
		f.add(sprout.FactWorkEnded, c.Key, sprout.WorkResult{State: sprout.Succeeded})
	}
	return nil
}

func (f *answering) add(kind sprout.FactKind, work string, body any) {
	raw, _ := json.Marshal(body) // of our own types
	f.made++
	f.waiting = append(f.waiting, sprout.Fact{Seq: f.made, At: time.Now().UTC(), Kind: kind, Work: work, Body: raw})
	select {
	case f.came <- struct{}{}:
	default:
	}
}

// progress is the last change applied and the last fact made.
func (f *answering) progress() (applied, facts int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.applied, f.made
}

func (f *answering) send(ctx context.Context) {
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
		batch := f.waiting[:min(len(f.waiting), 200)]
		f.mu.Unlock()
		if len(batch) == 0 {
			continue
		}
		stored, _ := f.bus.PublishFacts(ctx, batch...) // what was not comes again
		f.mu.Lock()
		f.waiting = f.waiting[stored:]
		f.mu.Unlock()
	}
}

func (f *answering) beat(ctx context.Context) {
	for {
		applied, facts := f.progress()
		_ = f.bus.PublishBeat(sprout.Heartbeat{Agent: f.agent, Version: sprout.Version, Address: "10.20.0.1", Applied: applied, Facts: facts, At: time.Now()}) // lost while the hub is away
		if sprout.Pause(ctx, sprout.HeartbeatEvery) != nil {
			return
		}
	}
}
