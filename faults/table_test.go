package faults_test

import (
	"slices"

	"sprout/provision"
	"sprout/sim"
)

const discover = "discover"

// places lists every step: the machine's own until it is known, and those that
// package provision defines.
func places() (all []place) {
	first, last := slices.Index(sim.Steps, sim.StepDHCP), slices.Index(sim.Steps, sim.StepInspect)
	for _, step := range sim.Steps[first : last+1] {
		all = append(all, place{discover, "machine", string(step)})
	}
	for _, d := range provision.CentreDefinitions[struct{}](nil) {
		for _, step := range d.Steps {
			all = append(all, place{d.Kind, d.At, step.Name})
		}
	}
	for _, d := range provision.SiteDefinitions[struct{}](nil, provision.Limits{}) {
		for _, step := range d.Steps {
			all = append(all, place{d.Kind, d.At, step.Name})
		}
	}
	return all
}

// machineSteps says which of its own steps the machine is at while the site's
// step waits for it. At every other step the engine itself is held.
var machineSteps = map[string]sim.Fault{
	"boot-ramdisk":  {Step: sim.StepHello},
	"inspect":       {Step: sim.StepInspect},
	"test-hardware": {Step: sim.StepTest},
	"write-image":   {Step: sim.StepWrite, Percent: 50},
	"erase-disks":   {Step: sim.StepErase},
	"open-shell":    {Step: sim.StepShell},
	"boot-disk":     {Step: sim.StepReboot},
	"phone-home":    {Step: sim.StepHome},
}

// ofMachine is where the machine itself is at a place; false: it does nothing.
func ofMachine(p place) (sim.Fault, bool) {
	if p.At == "machine" {
		return sim.Fault{Step: sim.Step(p.Step)}, true
	}
	f, ok := machineSteps[p.Step]
	return f, ok && p.At == "site"
}

// A fault is one thing that is broken, and how.
type fault struct {
	who, how string
	at       func(place) bool // where that makes sense; nil: everywhere
	machine  bool             // it happens to each machine by itself, not to a process that all share
	// breaks and mends a process, or the line, that all share. In between, what
	// is killed is dead for as long as it takes to start it; what is stopped or
	// cut is so for a while.
	breaks, mends func(*ground) error
	lasts         bool
	// rush breaks it after so many steps that the site takes once all is let go,
	// when everybody is at work; 0: while everything is held.
	rush int
	// each breaks one machine that is held; before has it break by itself when
	// it comes there, in place of holding it; after mends it, once that has lasted.
	each, before, after func(*ground, *cell) error
}

// runsRamdisk tells where the machine's ramdisk is at work.
func runsRamdisk(p place) bool {
	f, ok := ofMachine(p)
	return ok && slices.Index(sim.Steps, f.Step) >= slices.Index(sim.Steps, sim.StepHello) && f.Step != sim.StepHome
}

// isOn tells where it makes sense that a machine loses power.
func isOn(p place) bool { return p.At != "centre" }

// faults is the table of what is broken in an installation of two replicas with a
// NATS of its own, and in one whose only server embeds NATS. Everybody is killed,
// stopped and cut off, but for what cannot be:
//
//   - the WAN is no process that could be killed. It is cut, which both ends are
//     told; and stopped: what is sent arrives late, and nobody is told.
//   - power cannot be cut off and live: lost is its kill and its cut. It is not
//     stopped either, but comes back.
//   - a ramdisk that hangs is one that is stopped for good.
func faults(embedded bool) []fault {
	processes := func(who string, of func(*ground) []*process) []fault {
		return []fault{
			{who: who, how: "kill", breaks: func(g *ground) error { return g.kill(of(g)) }, mends: func(g *ground) error { return g.start(of(g)) }},
			{who: who, how: "stop", breaks: func(g *ground) error { return g.halt(of(g)) }, lasts: true, mends: func(g *ground) error { return g.resume(of(g)) }},
		}
	}
	cut := func(who string, c cutting) fault {
		return fault{who: who, how: "cut", breaks: c.cut, lasts: true, mends: c.heal}
	}
	if embedded {
		return append(processes("server", func(g *ground) []*process { return g.servers }), cut("server", ofServer))
	}
	agent := func(g *ground) []*process { return []*process{g.agent} }
	all := slices.Concat(
		processes("replica", func(g *ground) []*process { return g.servers[:1] }),
		[]fault{cut("replica", ofReplica)},
		processes("agent", agent),
		[]fault{{who: "agent", how: "kill-in-sync", breaks: (*ground).killInSync, mends: (*ground).afterSync}},
		[]fault{{who: "agent", how: "kill-in-rush", rush: 20, breaks: func(g *ground) error { return g.kill(agent(g)) }, mends: func(g *ground) error { return g.start(agent(g)) }}},
		[]fault{{who: "agent", how: "cut", breaks: (*ground).cutAgent, lasts: true, mends: (*ground).healAgent}},
		processes("nats", func(g *ground) []*process { return []*process{g.nats} }),
		[]fault{cut("nats", ofNATS)},
	)
	return append(all,
		fault{who: "postgres", how: "kill", breaks: (*ground).killPostgres, mends: (*ground).startPostgres},
		fault{who: "postgres", how: "stop", breaks: (*ground).haltPostgres, lasts: true, mends: (*ground).resumePostgres},
		cut("postgres", ofPostgres),
		cut("wan", ofWAN),
		fault{who: "wan", how: "stop", breaks: (*ground).stallWAN, lasts: true, mends: (*ground).flowWAN},
		fault{who: "power", how: "lost", machine: true, at: isOn, each: (*ground).losePower},
		fault{who: "power", how: "lost-and-back", machine: true, at: isOn, each: (*ground).losePowerAndBack},
		fault{who: "ramdisk", how: "kill", machine: true, at: runsRamdisk, before: inject(sim.Killed)},
		fault{who: "ramdisk", how: "hang", machine: true, at: runsRamdisk, before: inject(sim.Silent)},
		fault{who: "ramdisk", how: "stop", machine: true, at: runsRamdisk, lasts: true, after: (*ground).goOn},
		fault{who: "ramdisk", how: "cut", machine: true, at: runsRamdisk, each: (*ground).pullCable, lasts: true, after: (*ground).plugCable},
	)
}
