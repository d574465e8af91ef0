package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sprout"
)

// A FaultKind names one thing that can go wrong with a machine.
type FaultKind string

const (
	PowerLoss FaultKind = "power-loss" // the machine goes off, as if its supply tripped; its BMC lives
	Silent    FaultKind = "silent"     // it hangs: power stays on, nothing more is said
	Hold      FaultKind = "hold"       // it waits there until Machine.Release
	Corrupt   FaultKind = "corrupt"    // one byte of the image's download is flipped (step write)
	Truncate  FaultKind = "truncate"   // the image's download ends early (step write)
	DeadDisk  FaultKind = "dead-disk"  // reads and writes of Device (a serial; empty: the first) fail (steps test, write, erase)
	SlowDisk  FaultKind = "slow-disk"  // Device (a serial; empty: the first) reads at 60 % of its speed, without errors (step test)
	NeverHome FaultKind = "never-home" // the installed system does not phone home (step home)

	Nak        FaultKind = "dhcp-nak"        // the firmware remembers an address of another network, and is refused it (step dhcp)
	Twice      FaultKind = "duplicate-offer" // the network carries every DHCP packet twice: two offers, two acknowledgements (step dhcp)
	Taken      FaultKind = "address-taken"   // the firmware finds the address it was given in use, and declines it (step dhcp)
	Killed     FaultKind = "ramdisk-killed"  // the ramdisk's program dies; its kernel panics and restarts the machine (steps hello to reboot)
	WrongClock FaultKind = "wrong-clock"     // the machine's clock is wrong by Device, like -24h; empty: -87600h, ten years (step hello)

	OtherServer  FaultKind = "other-server"  // the firmware takes the offer of another DHCP server, at the address Device, or one of TEST-NET-1 (step dhcp)
	Stall        FaultKind = "stall"         // the loader's TFTP transfer hangs after its first block (step loader)
	WrongFile    FaultKind = "wrong-file"    // the firmware fetches the file Device, or the loader of the other boot mode, and cannot run it (step loader)
	CutOff       FaultKind = "cut-off"       // the ramdisk gets an address, and reaches nobody (step hello)
	NetworkFirst FaultKind = "network-first" // the firmware finds no system on the disk, and boots from the network again (step disk)
)

// FaultKinds lists every kind with the steps at which it may happen; empty: at any.
var FaultKinds = []struct {
	Kind  FaultKind
	Steps []Step
}{
	{PowerLoss, nil},
	{Silent, nil},
	{Hold, nil},
	{Corrupt, []Step{StepWrite}},
	{Truncate, []Step{StepWrite}},
	{DeadDisk, []Step{StepTest, StepWrite, StepErase}},
	{SlowDisk, []Step{StepTest}},
	{NeverHome, []Step{StepHome}},
	{Nak, []Step{StepDHCP}},
	{Twice, []Step{StepDHCP}},
	{Taken, []Step{StepDHCP}},
	{Killed, []Step{StepHello, StepIdle, StepInspect, StepTest, StepWrite, StepErase, StepShell, StepReboot}},
	{WrongClock, []Step{StepHello}},
	{OtherServer, []Step{StepDHCP}},
	{Stall, []Step{StepLoader}},
	{WrongFile, []Step{StepLoader}},
	{CutOff, []Step{StepHello}},
	{NetworkFirst, []Step{StepDisk}},
}

// A Fault is one thing that goes wrong, where, and how often.
type Fault struct {
	Kind    FaultKind
	Step    Step
	Percent int    // of the write, 0 to 100; other steps: at their start
	Device  string // of DeadDisk, SlowDisk, OtherServer, WrongFile and WrongClock
	Times   int    // how often it happens; 0: always
}

// ParseFault reads KIND@STEP[:PERCENT][=DEVICE][*TIMES], as power-loss@write:40*1
// or dead-disk@test=disk0. Errors are Invalid and say what is allowed.
func ParseFault(text string) (Fault, error) {
	var f Fault
	rest, times, hasTimes := strings.Cut(text, "*")
	rest, f.Device, _ = strings.Cut(rest, "=")
	kind, at, _ := strings.Cut(rest, "@")
	step, percent, hasPercent := strings.Cut(at, ":")
	f.Kind, f.Step = FaultKind(kind), Step(step)
	if hasTimes {
		n, err := strconv.Atoi(times)
		if err != nil || n < 1 {
			return f, sprout.InvalidField("fault", "%q: after * comes a number from 1", text)
		}
		f.Times = n
	}
	if hasPercent {
		n, err := strconv.Atoi(percent)
		if err != nil {
			return f, sprout.InvalidField("fault", "%q: after : comes a percentage", text)
		}
		f.Percent = n
	}
	return f, f.check()
}

func (f Fault) check() error {
	if !slices.Contains(Steps, f.Step) {
		return sprout.InvalidField("fault", "%q is not one of the steps %v", f.Step, Steps)
	}
	if f.Percent < 0 || f.Percent > 100 {
		return sprout.InvalidField("fault", "%d %% is not from 0 to 100", f.Percent)
	}
	for _, row := range FaultKinds {
		if row.Kind != f.Kind {
			continue
		}
		if len(row.Steps) > 0 && !slices.Contains(row.Steps, f.Step) {
			return sprout.InvalidField("fault", "%s happens at one of the steps %v, not at %q", f.Kind, row.Steps, f.Step)
		}
		if _, err := f.clock(); err != nil {
			return sprout.InvalidField("fault", "%q is not by how much a clock is wrong, like -24h", f.Device)
		}
		return nil
	}
	var kinds []string
	for _, row := range FaultKinds {
		kinds = append(kinds, string(row.Kind))
	}
	return sprout.InvalidField("fault", "%q is not one of %s", f.Kind, strings.Join(kinds, ", "))
}

// usualClock is a clock whose battery died long ago.
const usualClock = -10 * 365 * 24 * time.Hour

// clock is by how much a WrongClock is wrong; 0 for other kinds.
func (f Fault) clock() (time.Duration, error) {
	switch {
	case f.Kind != WrongClock:
		return 0, nil
	case f.Device == "":
		return usualClock, nil
	}
	return time.ParseDuration(f.Device)
}

func (f Fault) String() string {
	text := fmt.Sprintf("%s@%s", f.Kind, f.Step)
	if f.Percent > 0 {
		text += fmt.Sprintf(":%d", f.Percent)
	}
	if f.Device != "" {
		text += "=" + f.Device
	}
	if f.Times > 0 {
		text += fmt.Sprintf("*%d", f.Times)
	}
	return text
}

// Inject adds a fault to the machine; it takes effect when its step is next
// reached.
func (m *Machine) Inject(f Fault) error {
	if err := f.check(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = append(m.faults, f)
	return nil
}

// Heal removes every fault and lets a held machine go on.
func (m *Machine) Heal() {
	m.mu.Lock()
	m.faults = nil
	m.mu.Unlock()
	m.Release()
}

// Release lets a machine that is held go on. Others that come to the same Hold
// later are held again while its Times last.
func (m *Machine) Release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.gate)
	m.gate = make(chan struct{})
}

// fault takes one fault of the kind at the step whose percentage is reached,
// and counts it.
func (m *Machine) fault(kind FaultKind, step Step, percent int) (Fault, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, f := range m.faults {
		if f.Kind != kind || f.Step != step || percent < f.Percent {
			continue
		}
		switch f.Times {
		case 0:
		case 1:
			m.faults = slices.Delete(m.faults, i, i+1)
		default:
			m.faults[i].Times--
		}
		return f, true
	}
	return Fault{}, false
}
