package scenario_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"sprout"
	"sprout/api"
	"sprout/sim"
)

// lookAgain is how often the API is asked for what it has no long-poll for.
const lookAgain = 50 * time.Millisecond

// eventually looks until it is so, or ctx ends: then the error says what was
// seen last.
func eventually(ctx context.Context, look func() (ok bool, seen string)) error {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	seen := "nothing"
	for {
		ok, now := look()
		if ok {
			return nil
		}
		if ctx.Err() == nil {
			seen = now
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w; last seen: %s", ctx.Err(), seen)
		}
	}
}

func tellAwait(s *story, ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, len(args) >= 2 && (!neg || args[0] == "problem"), "await machine|agent|sim|idle NAME …")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	kind, name, args := args[0], args[1], args[2:]
	switch {
	case kind == "machines" && len(args) == 0:
		ts.Check(eventually(ctx, func() (bool, string) { return s.machinesAre(ctx, name) }))
	case kind == "machine" && len(args) == 2 && (args[0] == "state" || args[0] == "power"):
		ts.Check(eventually(ctx, func() (bool, string) { return s.machineIs(ctx, name, args[0], args[1]) }))
	case kind == "problem" && len(args) == 1:
		ts.Check(eventually(ctx, func() (bool, string) { return s.problemIs(ctx, sprout.Code(name), args[0], !neg) }))
	case kind == "cause" && len(args) == 1:
		ts.Check(eventually(ctx, func() (bool, string) { return s.causeIs(ctx, sprout.Code(name), args[0]) }))
	case kind == "boot" && len(args) == 1:
		ts.Check(eventually(ctx, func() (bool, string) { return s.bootHas(ctx, name, args[0]) }))
	case kind == "serial" && len(args) == 0:
		ts.Check(eventually(ctx, func() (bool, string) { return s.slot(ts, name).Machine.Consoles() > 0, "nobody has it open" }))
	case kind == "console" && len(args) == 1:
		ts.Check(eventually(ctx, func() (bool, string) { return s.consoleSaid(ctx, name, args[0]) }))
	case kind == "waits" && len(args) == 1:
		ts.Check(eventually(ctx, func() (bool, string) { return s.waitsFor(ctx, name, args[0]) }))
	case kind == "boots" && len(args) == 2:
		before, err := strconv.Atoi(args[0])
		ts.Check(err)
		more, err := strconv.Atoi(args[1])
		ts.Check(err)
		ts.Check(eventually(ctx, func() (bool, string) { return s.bootsAre(ctx, name, min(before+more, bootsKept)) }))
	case kind == "address" && len(args) == 1 && args[0] == "free":
		ts.Check(eventually(ctx, func() (bool, string) {
			a, err := call(ctx, s, api.AddressShow, api.AddressRef{Address: name})
			return sprout.KindOf(err) == sprout.NotFound, fmt.Sprintf("%s has it, %v", a.Kind, err)
		}))
	case kind == "idle" && len(args) == 0:
		ts.Check(eventually(ctx, func() (bool, string) { return s.machineIs(ctx, name, "activity", "") }))
	case kind == "agent" && len(args) == 1 && (args[0] == "online" || args[0] == "offline"):
		ts.Check(eventually(ctx, func() (bool, string) { return s.agentIs(ctx, name, args[0] == "online") }))
	case kind == "downloads" && len(args) == 2:
		ts.Check(eventually(ctx, func() (bool, string) { return s.downloadsAre(ctx, name, args[0]+" "+args[1]) }))
	case kind == "sim" && len(args) >= 1:
		s.awaitSim(ctx, ts, name, sim.Step(args[0]), strings.Join(args[1:], " "))
	default:
		usage(ts, false, "await machine NAME state|power WORD, await boot NAME WHAT, await idle NAME, await agent SITE online|offline, await sim NAME STEP [WORDS]")
	}
}

func (s *story) machinesAre(ctx context.Context, want string) (bool, string) {
	all, err := gather(ctx, s, api.MachineList, api.ListMachines{})
	if err != nil {
		return false, err.Error()
	}
	return strconv.Itoa(len(all)) == want, fmt.Sprintf("%d machines", len(all))
}

func (s *story) problemIs(ctx context.Context, code sprout.Code, name string, open bool) (bool, string) {
	all, err := gather(ctx, s, api.ProblemList, api.ListProblems{})
	if err != nil {
		return false, err.Error()
	}
	is := slices.ContainsFunc(all, func(p sprout.Problem) bool { return p.Code == code && p.Name == name })
	return is == open, fmt.Sprintf("problems %+v", all)
}

// causeIs tells whether a machine's explanation names the cause, and has heard
// from the site what its step waits for.
func (s *story) causeIs(ctx context.Context, code sprout.Code, name string) (bool, string) {
	x, err := call(ctx, s, api.MachineExplain, api.MachineRef{Machine: name})
	if err != nil {
		return false, err.Error()
	}
	heard := x.Workflow != nil && x.Workflow.Wait != "" && !strings.HasPrefix(x.Workflow.Wait, "site ")
	return heard && x.Cause != nil && x.Cause.Code == code, fmt.Sprintf("cause %+v of %+v", x.Cause, x.Workflow)
}

// waitsFor tells whether a machine's work waits for something with the words.
func (s *story) waitsFor(ctx context.Context, name, words string) (bool, string) {
	x, err := call(ctx, s, api.MachineExplain, api.MachineRef{Machine: name})
	if err != nil {
		return false, err.Error()
	}
	return x.Workflow != nil && strings.Contains(x.Workflow.Wait, words), fmt.Sprintf("%+v", x.Workflow)
}

// downloadsAre tells whether so many machines of a site download, and so many wait
// for their turn, as the control plane knows it.
func (s *story) downloadsAre(ctx context.Context, site, want string) (bool, string) {
	report, err := call(ctx, s, api.SiteShow, api.SiteRef{Site: site})
	if err != nil || report.Agent == nil {
		return false, fmt.Sprintf("%+v, %v", report, err)
	}
	is := fmt.Sprint(report.Agent.Downloading, report.Agent.Waiting)
	return is == want, is
}

// bootsKept is how many boots of a machine the control plane keeps.
const bootsKept = 20

// bootsAre tells whether so many boots of a machine are on record.
func (s *story) bootsAre(ctx context.Context, name string, want int) (bool, string) {
	all, err := gather(ctx, s, api.BootList, api.ListOfMachine{MachineRef: api.MachineRef{Machine: name}})
	if err != nil {
		return false, err.Error()
	}
	return len(all) == want, fmt.Sprintf("%d boots, not %d", len(all), want)
}

// bootHas tells whether the machine's newest boot shows an event: the site
// gathers events before it reports them, so they follow the work's own news.
func (s *story) bootHas(ctx context.Context, name, what string) (bool, string) {
	boot, err := call(ctx, s, api.BootShow, api.BootRef{MachineRef: api.MachineRef{Machine: name}, Attempt: api.LatestBoot})
	if err != nil {
		return false, err.Error()
	}
	has := slices.ContainsFunc(boot.Events, func(e sprout.BootEvent) bool { return e.What == what })
	return has, fmt.Sprintf("%+v", boot.Events)
}

// consoleSaid tells whether a machine's explanation has a line of its console with
// the words.
func (s *story) consoleSaid(ctx context.Context, name, words string) (bool, string) {
	x, err := call(ctx, s, api.MachineExplain, api.MachineRef{Machine: name})
	if err != nil {
		return false, err.Error()
	}
	said := slices.ContainsFunc(x.Console, func(e sprout.BootEvent) bool { return strings.Contains(e.Detail, words) })
	return said, fmt.Sprintf("%+v", x.Console)
}

func (s *story) machineIs(ctx context.Context, name, field, want string) (bool, string) {
	m, err := call(ctx, s, api.MachineShow, api.MachineRef{Machine: name})
	if err != nil {
		return false, err.Error()
	}
	is := map[string]string{"state": string(m.State), "power": string(m.Power), "activity": ""}[field]
	if field == "activity" && m.Activity != nil {
		is = fmt.Sprintf("%+v", *m.Activity)
	}
	return is == want, fmt.Sprintf("%s %q (activity %+v, problems %+v)", field, is, m.Activity, m.Problems)
}

func (s *story) agentIs(ctx context.Context, site string, online bool) (bool, string) {
	agents, err := gather(ctx, s, api.AgentList, api.ListOfSite{OfSite: api.OfSite{Site: site}})
	if err != nil {
		return false, err.Error()
	}
	if len(agents) != 1 {
		return false, fmt.Sprintf("%d agents", len(agents))
	}
	a := agents[0]
	return a.Online == online && (!online || a.Applied == a.Wanted), fmt.Sprintf("agent %+v", a)
}

// awaitSim waits until the machine has come to a step since the last await.
func (s *story) awaitSim(ctx context.Context, ts *testscript.TestScript, name string, step sim.Step, words string) {
	slot, err := s.rack.Slot(name)
	ts.Check(err)
	_, seen, err := slot.Machine.Await(ctx, s.seen[name], func(e sim.Entry) bool {
		return e.Step == step && strings.Contains(e.Detail, words)
	})
	if err != nil {
		for _, e := range slot.Machine.Journal() {
			ts.Logf("%s", e)
		}
		ts.Fatalf("machine %s does not come to step %s %s", name, step, words)
	}
	s.seen[name] = seen
}
