package server

import (
	"context"
	"net/http"
	"sync"
	"time"

	"sprout"
	"sprout/api"
)

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
