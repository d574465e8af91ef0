package server

import (
	"context"
	"strings"
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
