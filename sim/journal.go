package sim

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// A Step is a place in a machine's life at which it can be awaited and at which
// faults happen.
type Step string

const (
	StepOff     Step = "off"     // it is off
	StepMedia   Step = "media"   // something is put into its virtual drive, or taken out, or booted
	StepDHCP    Step = "dhcp"    // the firmware asks for an address
	StepLoader  Step = "loader"  // it has an address and fetches the loader
	StepScript  Step = "script"  // iPXE has an address and fetches its script
	StepKernel  Step = "kernel"  // it fetches kernel and initrd
	StepHello   Step = "hello"   // the ramdisk runs
	StepIdle    Step = "idle"    // the ramdisk waits for an order
	StepInspect Step = "inspect" // and the orders, one by one
	StepTest    Step = "test"
	StepWrite   Step = "write"
	StepErase   Step = "erase"
	StepShell   Step = "shell"
	StepReboot  Step = "reboot"
	StepDisk    Step = "disk" // it boots from its disk
	StepHome    Step = "home" // the installed system phones home
	StepUp      Step = "up"   // the installed system runs, phoned home or not
)

// Steps lists every step in the order in which machines come to them.
var Steps = []Step{
	StepOff, StepMedia, StepDHCP, StepLoader, StepScript, StepKernel, StepHello, StepIdle, StepInspect,
	StepTest, StepWrite, StepErase, StepShell, StepReboot, StepDisk, StepHome, StepUp,
}

// An Entry is one line of a machine's journal.
type Entry struct {
	At     time.Time
	Step   Step
	Detail string
}

func (e Entry) String() string {
	return fmt.Sprintf("%s %s: %s", e.At.Format("15:04:05.000"), e.Step, e.Detail)
}

// journalKeeps is how many entries a machine remembers at least, the newest,
// unless its Config says otherwise.
const journalKeeps = 2000

// Journal returns what the machine has done lately.
func (m *Machine) Journal() []Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.journal)
}

// Await waits until the journal has an entry for which ok holds, among those
// after the first skip ones since it was made. It returns the entry and how many the journal had
// up to it, to skip next time. The error is that of ctx.
func (m *Machine) Await(ctx context.Context, skip int, ok func(Entry) bool) (Entry, int, error) {
	for {
		m.mu.Lock()
		journal, forgotten, news := m.journal, m.forgotten, m.news
		m.mu.Unlock()
		for skip = max(skip, forgotten); skip < forgotten+len(journal); skip++ {
			if e := journal[skip-forgotten]; ok(e) {
				return e, skip + 1, nil
			}
		}
		select {
		case <-news:
		case <-ctx.Done():
			return Entry{}, skip, ctx.Err()
		}
	}
}

// note adds to the journal and wakes whoever awaits it.
func (m *Machine) note(step Step, format string, args ...any) {
	e := Entry{At: time.Now(), Step: step, Detail: fmt.Sprintf(format, args...)}
	m.mu.Lock()
	if len(m.journal) >= 2*m.memory {
		m.forgotten += m.memory
		m.journal = slices.Clone(m.journal[m.memory:])
	}
	m.journal = append(m.journal, e)
	close(m.news)
	m.news = make(chan struct{})
	m.mu.Unlock()
	if m.watch != nil {
		m.watch(e)
	}
	m.Say(fmt.Sprintf("%s: %s\r\n", step, e.Detail))
	m.log.Debug("simulated machine", "machine", m.spec.Name, "step", step, "detail", e.Detail)
}
