package trial

import (
	"runtime/debug"
)

// unplug turns every machine off for good.
func (t *trial) unplug() {
	if t.rack != nil {
		t.rack.Close()
		t.rack = nil
	}
}

// weigh tells the memory of the simulated machines and of the agents apart from
// that of all, by what the process gives back when each is gone: first the
// machines, as all of them are on, then the agents with what they know. It ends
// the trial. What counts as the product's is too much rather than too little: of
// the machines only what they are is taken off, not their share of garbage, of
// stacks while they boot, nor of connections.
func (t *trial) weigh(c *Cost) {
	if t.rack != nil {
		t.rack.HangUp() // both ends would count as the machines'
	}
	all := resident()
	t.unplug()
	t.watch = nil
	without := resident()
	t.ground.stopSites()
	c.MachinesMB, c.AgentsMB = max(all-without, 0), max(without-resident(), 0)
	n := float64(max(t.score.at[Discover], 1))
	c.AgentPerMachine = 1024 * c.AgentsMB / n
	c.ProductMB = max(c.PeakMemoryMB-c.MachinesMB, 0)
}

// resident is the process's memory in MB once it has given back what is free.
func resident() float64 {
	debug.FreeOSMemory()
	all, _ := residentMB()
	return all
}
