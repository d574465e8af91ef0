package trial

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"sprout"
	"sprout/power/redfish/emulator"
	"sprout/sim"
)

// A Fault is one entry of a faults file: something that goes wrong with each
// machine with a probability, at once or from a time on, or with the WAN at a time.
type Fault struct {
	Fault       string   `json:"fault"`
	Probability float64  `json:"probability,omitempty"` // of each machine, 0 to 1
	Machine     string   `json:"machine,omitempty"`     // one machine, as sim00001, in place of a probability
	During      Goal     `json:"during,omitempty"`      // from which workflow on; empty: from the start
	Step        sim.Step `json:"step,omitempty"`        // at which it happens; each kind has a usual one
	Percent     int      `json:"percent,omitempty"`     // of the write
	Times       int      `json:"times,omitempty"`       // how often to one machine; 0: once, and a dead disk for ever
	Device      string   `json:"device,omitempty"`      // the dead disk's serial, the other server's address, the wrong file or clock
	Site        string   `json:"site,omitempty"`        // the one whose WAN it is, as sim-2; empty: all
	At          string   `json:"at,omitempty"`          // of the trial, as 30s; faults of machines wait for their step from then on
	For         string   `json:"for,omitempty"`         // how long, as 10s; 0: 10s; for faults of the WAN
}

// A kind is what a faults file may name.
type kind struct {
	name  string
	about string
	wan   bool          // it happens to the WAN, at a time
	sim   sim.FaultKind // it is one of the machine's own
	step  sim.Step      // the usual one
	bmc   func(f Fault, b *emulator.Faults)
	link  bool // somebody of the site's link does it
}

// kinds lists every fault.
var kinds = []kind{
	{name: "power-loss", about: "the machine's supply trips", sim: sim.PowerLoss, step: sim.StepWrite},
	{name: "hung-kernel", about: "the ramdisk's kernel hangs before the ramdisk says anything", sim: sim.Silent, step: sim.StepHello},
	{name: "ramdisk-killed", about: "the ramdisk's program dies, its kernel panics and restarts the machine", sim: sim.Killed, step: sim.StepInspect},
	{name: "cut-off", about: "the ramdisk gets an address and reaches nobody", sim: sim.CutOff, step: sim.StepHello},
	{name: "wrong-clock", about: "the machine's clock is ten years slow, or wrong by the device", sim: sim.WrongClock, step: sim.StepHello},
	{name: "dhcp-nak", about: "the firmware remembers an address of another network, and is refused it", sim: sim.Nak, step: sim.StepDHCP},
	{name: "duplicate-offer", about: "every DHCP packet of a boot is carried twice: two offers, two acknowledgements", sim: sim.Twice, step: sim.StepDHCP},
	{name: "address-taken", about: "the firmware finds the address it is given in use, and declines it", sim: sim.Taken, step: sim.StepDHCP},
	{name: "address-squatted", about: "somebody who was not given it has the address that the machine is to have, so many times", link: true},
	{name: "other-server", about: "the firmware takes the offer of another DHCP server, and hangs", sim: sim.OtherServer, step: sim.StepDHCP},
	{name: "stall", about: "the loader's TFTP transfer hangs after its first block", sim: sim.Stall, step: sim.StepLoader},
	{name: "wrong-file", about: "the firmware fetches the wrong loader, and hangs", sim: sim.WrongFile, step: sim.StepLoader},
	{name: "network-first", about: "the firmware finds no system on the disk once, and boots from the network again", sim: sim.NetworkFirst, step: sim.StepDisk},
	{name: "silent", about: "kernel or ramdisk hangs: power stays on, nothing more is said", sim: sim.Silent, step: sim.StepHello},
	{name: "corrupt", about: "a bit of the image flips on its way", sim: sim.Corrupt, step: sim.StepWrite},
	{name: "truncate", about: "the image's download ends early", sim: sim.Truncate, step: sim.StepWrite},
	{name: "dead-disk", about: "the disk does not read or write any more", sim: sim.DeadDisk, step: sim.StepWrite},
	{name: "never-home", about: "the installed system does not phone home", sim: sim.NeverHome, step: sim.StepHome},
	{name: "bmc-503", about: "the BMC answers 503 so many times", bmc: func(f Fault, b *emulator.Faults) { b.Unavailable = f.Times }},
	{name: "bmc-dropped-session", about: "the BMC forgets its sessions when the machine comes to the step", step: sim.StepHello},
	{name: "boot-order-ignored", about: "the BMC accepts a boot override so many times and drops it", bmc: func(f Fault, b *emulator.Faults) { b.IgnoreOverride = f.Times }},
	{name: "wan-cut", about: "no agent, or that of one site, reaches the control plane", wan: true},
	{name: "link-flap", about: "every connection between agents, or that of one site, and control plane is torn", wan: true},
}

// FaultNames lists the faults that a file may name, with a word on each.
func FaultNames() []string {
	var all []string
	for _, k := range kinds {
		all = append(all, fmt.Sprintf("%-20s %s", k.name, k.about))
	}
	return all
}

func (f Fault) kind() (kind, error) {
	var names []string
	for _, k := range kinds {
		if k.name == f.Fault {
			return k, nil
		}
		names = append(names, k.name)
	}
	return kind{}, sprout.InvalidField("fault", "the simulator does not know the fault %q; it knows %s", f.Fault, strings.Join(names, ", "))
}

// check refuses what cannot happen: Invalid, with the key as field.
func (f Fault) check() error {
	k, err := f.kind()
	if err != nil {
		return err
	}
	if k.wan {
		return f.checkSchedule()
	}
	switch {
	case f.For != "":
		return sprout.InvalidField("for", "%s happens to machines, so many times and not for a time", f.Fault)
	case f.At != "" && f.During != "":
		return sprout.InvalidField("during", "%s happens from a time on: it cannot wait for a workflow too", f.Fault)
	case f.At != "" && !isTime(f.At):
		return sprout.InvalidField("at", "%q must be a time after the start, like 30s", f.At)
	case f.Site != "":
		return sprout.InvalidField("site", "%s happens to machines", f.Fault)
	case f.During != "" && !slices.Contains(Goals, f.During):
		return sprout.InvalidField("during", "%q is not one of %v", f.During, Goals)
	case f.Machine != "" && f.Probability != 0:
		return sprout.InvalidField("probability", "%s happens to %s: it has no probability", f.Fault, f.Machine)
	case f.Machine == "" && !(f.Probability > 0 && f.Probability <= 1):
		return sprout.InvalidField("probability", "%g is not above 0 and up to 1", f.Probability)
	case f.Times < 0:
		return sprout.InvalidField("times", "%d is negative", f.Times)
	case f.Step != "" && k.step == "":
		return sprout.InvalidField("step", "%s does not happen at a step", f.Fault)
	case f.Step != "" && !slices.Contains(sim.Steps, f.Step):
		return sprout.InvalidField("step", "%q is not one of %v", f.Step, sim.Steps)
	}
	if k.sim == "" {
		return nil
	}
	_, err = sim.ParseFault(f.onMachine(k).String())
	return err
}

func (f Fault) checkSchedule() error {
	if f.Probability != 0 || f.Step != "" || f.Times != 0 || f.Percent != 0 || f.Device != "" || f.Machine != "" || f.During != "" {
		return sprout.InvalidField("fault", "%s happens at a time: it has at, for and site, nothing else", f.Fault)
	}
	if !isTime(f.At) {
		return sprout.InvalidField("at", "%q must be a time after the start, like 30s", f.At)
	}
	if d, err := time.ParseDuration(f.For); f.For != "" && (err != nil || d <= 0) {
		return sprout.InvalidField("for", "%q must be a duration, like 10s", f.For)
	}
	return nil
}

// isTime tells whether a text is a time after the start.
func isTime(text string) bool {
	d, err := time.ParseDuration(text)
	return err == nil && d >= 0
}

// onMachine is the fault as package sim knows it.
func (f Fault) onMachine(k kind) sim.Fault {
	out := sim.Fault{Kind: k.sim, Step: k.step, Percent: f.Percent, Device: f.Device, Times: f.Times}
	if f.Step != "" {
		out.Step = f.Step
	}
	if f.Times == 0 && k.sim != sim.DeadDisk {
		out.Times = 1
	}
	return out
}

// scheduled tells whether it happens at a time, not to a machine.
func (f Fault) scheduled() bool {
	k, err := f.kind()
	return err == nil && k.wan
}

// hits tells whether the fault is one of the machine's.
func (f Fault) hits(machine string, dice float64) bool {
	if f.Machine != "" {
		return f.Machine == machine
	}
	return !f.scheduled() && dice < f.Probability
}

// inflict has the faults of a stage happen to the machine from now on.
func (t *trial) inflict(s *subject, during Goal) error {
	for _, f := range s.faults {
		if cmp.Or(f.During, Discover) != during {
			continue
		}
		if f.At != "" {
			t.delayed.Go(func() { t.inflictLater(s, f) })
			continue
		}
		t.score.fault(f.Fault)
		if err := f.give(s); err != nil {
			return err
		}
	}
	return nil
}

// inflictLater has a fault happen to the machine from its time on; one that
// is plugged in later has it at once.
func (t *trial) inflictLater(s *subject, f Fault) {
	at, _ := time.ParseDuration(f.At) // check has read it
	if !wait(t.beside, time.Until(t.score.start().Add(at))) {
		return
	}
	if err := f.give(s); err != nil {
		t.Log.Error("fault not given", "fault", f.Fault, "machine", s.name, "error", err)
		return
	}
	t.score.fault(f.Fault)
}

// give hands a fault to the machine, or to its BMC.
func (f Fault) give(s *subject) error {
	k, err := f.kind()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case k.bmc != nil:
		f.Times = max(f.Times, 1)
		k.bmc(f, &s.bmc)
		s.slot.BMC.SetFaults(s.bmc)
	case k.link:
		s.squatted += max(f.Times, 1)
		s.site.squatters.Forestall(s.mac, max(f.Times, 1))
	case k.sim != "":
		return s.slot.Machine.Inject(f.onMachine(k))
	default:
		s.dropAt = k.step
		if f.Step != "" {
			s.dropAt = f.Step
		}
	}
	return nil
}

// schedule lets the faults of the WAN happen, until ctx ends.
func (g *ground) schedule(ctx context.Context, faults []Fault, s *score) {
	var all sync.WaitGroup
	defer all.Wait()
	for _, f := range faults {
		if f.scheduled() {
			all.Go(func() { g.wanFault(ctx, f, s) })
		}
	}
}

func (g *ground) wanFault(ctx context.Context, f Fault, s *score) {
	at, _ := time.ParseDuration(f.At) // Check has read both
	lasts, _ := time.ParseDuration(f.For)
	if lasts == 0 {
		lasts = 10 * time.Second
	}
	if f.Fault == "link-flap" {
		lasts = 0
	}
	if !wait(ctx, at) {
		return
	}
	s.fault(f.Fault)
	line := g.line(f.Site)
	line.Cut()
	wait(ctx, lasts)
	line.Heal()
}

// wait tells whether d has passed, not ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
