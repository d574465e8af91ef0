package server

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/bus"
)

const (
	openConsoleWithin = 30 * time.Second // longer than the agent gives the BMC
	keepConsoleEvery  = 8 * time.Second  // so that one answer may be lost
	mostUnkept        = 2                // questions without an answer, until the site counts as gone
)

// A consoleView is one stream of a machine's console.
type consoleView struct {
	server  *Server
	machine sprout.Machine
	tap     *bus.Tap
	ask     sprout.ConsoleQuestion
	opened  sprout.ConsoleAnswer
	over    ending
}

// machineConsole opens a machine's console, which the site's agent has at the BMC,
// and answers with a stream. Who opened it is audited.
func (s *Server) machineConsole(ctx context.Context, in *api.OpenConsole) (out api.Console, err error) {
	m, err := s.findMachine(ctx, in.Machine)
	if err != nil {
		return out, err
	}
	if may, _ := api.Reach(bearer(ctx), sprout.Operator); in.Type && !may.Has(m.Site) {
		return out, sprout.Errorf(sprout.Denied, "cannot type at the console of %s: it needs the role operator there", m.Name).
			WithRemedy("sprout machine console %s --read-only", m.Name)
	}
	if err := s.hasConsole(ctx, m); err != nil {
		return out, err
	}
	v := &consoleView{server: s, machine: m, over: endOf(bearer(ctx), in.For), ask: sprout.ConsoleQuestion{
		Machine: m.ID, View: sprout.NewSecret(), Token: bearer(ctx).ID, Who: actor(ctx), Type: in.Type,
	}}
	if v.tap, err = s.bus.Tap(m.Site, m.ID); err != nil {
		return out, err
	}
	if err = v.open(ctx); err == nil {
		err = s.change(ctx, api.MachineConsole.Name, func(_ context.Context, _ pgx.Tx, r *sprout.AuditRecord) error {
			about(r, m.Site, m.ID, m.Name)
			r.Detail = map[bool]string{true: "to type", false: "to read"}[in.Type]
			return nil
		})
	}
	if err != nil {
		v.close()
		return out, err
	}
	return api.Console{Serve: v.serve}, nil
}

// hasConsole tells whether there is anybody to ask for a machine's console.
func (s *Server) hasConsole(ctx context.Context, m sprout.Machine) error {
	if m.BMC == nil {
		return sprout.Errorf(sprout.Conflict, "cannot open the console of %s: it has no BMC", m.Name).
			WithRemedy("sprout machine update %s --bmc-driver redfish --bmc-url … --bmc-user … --bmc-password …", m.Name)
	}
	agent, err := s.store.AgentOf(ctx, m.Site)
	if err != nil && sprout.KindOf(err) != sprout.NotFound {
		return err
	}
	if !agent.Online {
		return sprout.Errorf(sprout.Conflict, "cannot open the console of %s: site %s is offline, and nobody else reaches its BMC", m.Name, m.SiteName).
			WithRemedy("sprout agent list")
	}
	return nil
}

// open asks the agent for the console.
func (v *consoleView) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openConsoleWithin)
	defer cancel()
	if err := v.server.bus.Ask(ctx, v.machine.Site, sprout.OpenConsole, v.ask, &v.opened); err != nil {
		return err
	}
	switch a := v.opened; {
	case a.Failure != nil:
		remedy := a.Failure.Remedy
		if remedy == "" {
			_, remedy = sprout.Explain(a.Failure.Code, v.machine.Name, "", v.machine.SiteName)
		}
		return sprout.Errorf(sprout.Conflict, "cannot open the console of %s: %s", v.machine.Name, strings.TrimPrefix(a.Failure.Reason, "cannot open the console: ")).WithRemedy("%s", remedy)
	case a.Stretch == "":
		return sprout.Errorf(sprout.Conflict, "cannot type at the console of %s: %s does, since %s", v.machine.Name, a.Typist, a.Since.UTC().Format("15:04:05 MST")).
			WithRemedy("sprout machine console %s --read-only", v.machine.Name)
	}
	return nil
}

// serve writes what the console says until either side ends it.
func (v *consoleView) serve(answer http.ResponseWriter, r *http.Request) {
	defer v.close()
	to := streamTo(answer)
	if r.Method == http.MethodHead {
		return
	}
	defer to.done()
	var parts sync.WaitGroup
	defer parts.Wait()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	said, gone := make(chan sprout.ConsoleOutput), make(chan string, 1)
	parts.Go(func() { v.hear(ctx, said) })
	parts.Go(func() { gone <- v.keep(ctx) })
	if err := v.stream(ctx, to, said, gone); err != nil && r.Context().Err() == nil {
		v.server.log.Debug("a console's stream broke off", "id", api.RequestID(ctx), "machine", v.machine.Name, "error", err)
	}
}

func (v *consoleView) stream(ctx context.Context, to eventWriter, said <-chan sprout.ConsoleOutput, gone <-chan string) error {
	open := sprout.ConsoleEvent{What: sprout.ConsoleOpened, Typist: v.opened.Typist}
	if v.ask.Type {
		open.View = v.ask.View
	}
	if err := sendConsole(to, open, sprout.ConsoleEvent{What: sprout.ConsoleSays, Data: v.opened.Recent}); err != nil {
		return err
	}
	alive := time.NewTicker(heartbeatEvery)
	defer alive.Stop()
	var expired <-chan time.Time
	if !v.over.at.IsZero() {
		timer := time.NewTimer(time.Until(v.over.at))
		defer timer.Stop()
		expired = timer.C
	}
	end := sprout.ConsoleEvent{What: sprout.ConsoleEnds}
	for at := v.opened.At; ; {
		select {
		case one := <-said:
			events := tellOutput(&at, one)
			if err := sendConsole(to, events...); err != nil || one.Ended != "" {
				return err
			}
		case <-alive.C:
			if err := to.send(sayAlive); err != nil {
				return err
			}
		case end.Reason = <-gone:
			end.Failed = true
			return sendConsole(to, end)
		case <-expired:
			end.Reason = v.over.why
			return sendConsole(to, end)
		case <-v.server.hub.over:
			end.Reason, end.Failed = "the server stops", true
			return sendConsole(to, end)
		case <-ctx.Done():
			return nil
		}
	}
}

// tellOutput is what to tell of what was said, where at bytes were told before.
func tellOutput(at *int64, one sprout.ConsoleOutput) (events []sprout.ConsoleEvent) {
	if lost := one.At - *at; lost > 0 {
		events = append(events, sprout.ConsoleEvent{What: sprout.ConsoleLost, Lost: lost})
		*at = one.At
	}
	if known := *at - one.At; known < int64(len(one.Data)) {
		events = append(events, sprout.ConsoleEvent{What: sprout.ConsoleSays, Data: one.Data[known:]})
		*at = one.At + int64(len(one.Data))
	}
	if one.Ended != "" {
		events = append(events, sprout.ConsoleEvent{What: sprout.ConsoleEnds, Reason: one.Ended, Failed: true})
	}
	return events
}

// sendConsole writes events; output without a byte is none.
func sendConsole(to eventWriter, events ...sprout.ConsoleEvent) error {
	var list []*message
	for _, e := range events {
		if e.What == sprout.ConsoleSays && len(e.Data) == 0 {
			continue
		}
		m, err := eventMessage(string(e.What), e)
		if err != nil {
			return err
		}
		list = append(list, m)
	}
	return to.send(list...)
}

// hear hands on what the console says. Who reads slowly holds it up here, and what
// does not fit the tap is lost.
func (v *consoleView) hear(ctx context.Context, said chan<- sprout.ConsoleOutput) {
	for {
		one, err := v.tap.Next(ctx)
		if err != nil {
			return // keep finds out why
		}
		if one.Stretch != v.opened.Stretch {
			continue
		}
		select {
		case said <- one:
		case <-ctx.Done():
			return
		}
	}
}

// keep tells the agent that somebody looks, and returns why nobody may any longer.
func (v *consoleView) keep(ctx context.Context) (why string) {
	tick := time.NewTicker(keepConsoleEvery)
	defer tick.Stop()
	for unheard := 0; unheard < mostUnkept; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ""
		}
		if revoked, err := v.server.store.TokenRevoked(ctx, v.ask.Token); err == nil && revoked {
			return "the token was revoked"
		}
		kept, err := v.tell(ctx, sprout.KeepConsole)
		switch {
		case err == nil && kept.Gone != "":
			return kept.Gone
		case err != nil:
			unheard++
		default:
			unheard = 0
		}
	}
	return "site " + v.machine.SiteName + " does not answer any more: it is offline, or its agent has stopped"
}

func (v *consoleView) tell(ctx context.Context, kind string) (a sprout.ConsoleAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	return a, v.server.bus.Ask(ctx, v.machine.Site, kind, v.ask, &a)
}

// close tells the agent that nobody looks any more; without that it finds out.
func (v *consoleView) close() {
	v.tap.Close()
	if v.opened.Stretch != "" {
		_, _ = v.tell(context.Background(), sprout.CloseConsole)
	}
}

// machineConsoleType types at a console that its sender has open.
func (s *Server) machineConsoleType(ctx context.Context, in *api.TypeConsole) (out api.Typed, err error) {
	m, err := s.findMachine(ctx, in.Machine)
	if err != nil {
		return out, err
	}
	if err := s.hasConsole(ctx, m); err != nil {
		return out, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	var a sprout.ConsoleAnswer
	q := sprout.ConsoleQuestion{Machine: m.ID, View: in.Body.View, Token: bearer(ctx).ID, At: in.Body.At, Keys: in.Body.Keys}
	if err := s.bus.Ask(ctx, m.Site, sprout.TypeConsole, q, &a); err != nil {
		return out, err
	}
	if a.Gone != "" {
		return out, sprout.Errorf(sprout.Conflict, "cannot type at the console of %s: it is not open: %s", m.Name, a.Gone).
			WithRemedy("sprout machine console %s", m.Name)
	}
	return api.Typed{Typed: a.Typed}, nil
}
