package sim

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"sprout"
	"sprout/power"
	"sprout/power/redfish/emulator"
)

// A Machine is one simulated server, the kind that a BMC of package emulator is
// wired to. It is off when made; while it is on, one goroutine is the whole
// machine. Its disks keep what was written to them.
type Machine struct {
	spec Spec
	wire Wire
	pace Pace
	mac  net.HardwareAddr // of the first interface
	log  *slog.Logger

	memory int
	watch  func(Entry)

	cable cable

	switching sync.Mutex // held by whoever turns power on or off

	serial sync.Mutex
	ports  map[*port]bool // openings of its serial port

	mu        sync.Mutex
	override  func() emulator.Boot // asked at a start that no BMC asked for; may be nil
	cancel    context.CancelFunc   // nil: off
	ended     chan struct{}        // closed when the goroutine of this power-on has ended
	disks     []disk
	media     []string      // the kernel's command line on the CD in the virtual drive; nil: it is empty
	clock     time.Duration // by how much it is wrong
	faults    []Fault
	gate      chan struct{} // closed by Release
	journal   []Entry
	forgotten int           // entries that are no longer in the journal
	news      chan struct{} // closed by the next note
}

// New makes a machine that is off, with empty disks. Errors are Invalid and
// name the field.
func New(c Config) (*Machine, error) {
	spec := c.Spec.withDefaults()
	if spec.Name == "" {
		return nil, sprout.InvalidField("name", "a machine needs a name")
	}
	if len(spec.MACs) == 0 {
		return nil, sprout.InvalidField("macs", "machine %s needs one MAC at least", spec.Name)
	}
	mac, err := net.ParseMAC(spec.MACs[0])
	if err != nil || len(mac) != 6 {
		return nil, sprout.InvalidField("macs", "%q is no MAC such as 52:54:00:12:34:56", spec.MACs[0])
	}
	for _, f := range c.Faults {
		if err := f.check(); err != nil {
			return nil, err
		}
	}
	set(&spec.UUID, uuidOf(mac))
	m := &Machine{
		spec: spec, wire: c.Wire, pace: c.Pace, mac: mac, log: cmp.Or(c.Log, slog.New(slog.DiscardHandler)),
		faults: slices.Clone(c.Faults), gate: make(chan struct{}), news: make(chan struct{}),
		memory: cmp.Or(c.Memory, journalKeeps), watch: c.Watch,
	}
	for _, d := range spec.Disks {
		m.disks = append(m.disks, disk{Disk: d})
	}
	return m, nil
}

// uuidOf makes a UUID that is always the same for a MAC (version 8 of RFC 9562).
func uuidOf(mac net.HardwareAddr) string {
	u := sha256.Sum256(mac)
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

// Spec returns what the machine is made of, defaults filled in.
func (m *Machine) Spec() Spec { return m.spec }

// Refit changes what the machine is made of while it is off, as people do with
// their hands. A disk that stays keeps what was written to it. Conflict: it is on.
func (m *Machine) Refit(change func(*Spec)) error {
	m.switching.Lock()
	defer m.switching.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cancel != nil {
		return sprout.Errorf(sprout.Conflict, "cannot refit machine %s: it is on", m.spec.Name)
	}
	change(&m.spec)
	var disks []disk
	for _, d := range m.spec.Disks {
		now := disk{Disk: d} // what it is called depends on where it is
		if at := slices.IndexFunc(m.disks, func(old disk) bool { return old.Serial == d.Serial }); at >= 0 {
			now.system, now.dirty = m.disks[at].system, m.disks[at].dirty
		}
		disks = append(disks, now)
	}
	m.disks = disks
	return nil
}

// Power tells whether the machine is on.
func (m *Machine) Power() sprout.PowerState {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cancel == nil {
		return sprout.PowerOff
	}
	return sprout.PowerOn
}

// PowerOn starts the machine; one that is on stays as it is. The machine runs
// until PowerOff, or until it turns itself off; ctx does not end it.
func (m *Machine) PowerOn(_ context.Context, boot emulator.Boot) error {
	m.switching.Lock()
	defer m.switching.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cancel != nil {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	m.cancel, m.ended = cancel, ended
	go func() {
		defer close(ended)
		why := m.live(ctx, boot.Device)
		m.mu.Lock()
		m.cancel = nil
		m.mu.Unlock()
		cancel()
		m.note(StepOff, "%s", why)
	}()
	return nil
}

// PowerOff ends everything that the machine does, at once, and returns when it
// is off. The system is not asked.
func (m *Machine) PowerOff(context.Context) error {
	m.switching.Lock()
	defer m.switching.Unlock()
	m.mu.Lock()
	cancel, ended := m.cancel, m.ended
	m.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	if ended != nil {
		<-ended
	}
	return nil
}

// InsertMedia puts the CD at the URL into the virtual drive: the BMC fetches it.
func (m *Machine) InsertMedia(ctx context.Context, url string) error {
	var image bytes.Buffer
	if err := emulator.FetchMedia(ctx, url, &image, mediaMost); err != nil {
		return err
	}
	cmdline, err := bootsOf(image.Bytes())
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.media = cmdline
	m.mu.Unlock()
	m.note(StepMedia, "inserted, %d bytes", image.Len())
	return nil
}

// EjectMedia empties the virtual drive.
func (m *Machine) EjectMedia(context.Context) error {
	m.mu.Lock()
	was := m.media
	m.media = nil
	m.mu.Unlock()
	if was != nil {
		m.note(StepMedia, "ejected")
	}
	return nil
}

// Shutdown presses the power button. Every system that these machines run
// obeys at once.
func (m *Machine) Shutdown(ctx context.Context) error { return m.PowerOff(ctx) }

// Close turns the machine off for good.
func (m *Machine) Close() { _ = m.PowerOff(context.Background()) }

var (
	errPowerLost = errors.New("the supply tripped")
	errPowerOff  = errors.New("the system turned it off")
	errReboot    = errors.New("the system reboots")
	errKilled    = fmt.Errorf("the ramdisk was killed: %w", errReboot)
)

// endsBoot tells whether err is the end of a boot, not of what it was doing.
func endsBoot(err error) bool { return errors.Is(err, errPowerLost) || errors.Is(err, errReboot) }

// live is a machine from power-on to off; it returns why it went off. What the
// firmware cannot boot it tries again, as servers do.
func (m *Machine) live(ctx context.Context, device power.BootDevice) (why string) {
	for {
		err := m.boot(ctx, device)
		switch {
		case ctx.Err() != nil:
			return "power was cut"
		case errors.Is(err, errPowerLost), errors.Is(err, errPowerOff):
			return err.Error()
		case errors.Is(err, errReboot):
			device = m.restart()
		default:
			m.note(StepDHCP, "cannot boot, trying again: %v", err)
			if sprout.Pause(ctx, m.pace.retry()) != nil {
				return "power was cut"
			}
		}
	}
}

// restart returns what a start from inside boots from: the BMC may have set an
// override since.
func (m *Machine) restart() power.BootDevice {
	m.mu.Lock()
	override := m.override
	m.mu.Unlock()
	if override == nil {
		return ""
	}
	return override().Device
}

// boot runs the machine once from the device: it returns when the machine
// reboots, goes off, or finds nothing that boots.
func (m *Machine) boot(ctx context.Context, device power.BootDevice) error {
	if err := sprout.Pause(ctx, m.pace.Firmware); err != nil {
		return err
	}
	if device == power.BootMedia {
		return m.bootMedia(ctx)
	}
	system, installed := m.installed()
	if installed && device != power.BootNetwork {
		if f, hit := m.fault(NetworkFirst, StepDisk, 0); hit {
			m.note(StepDisk, "fault: %s", f)
			installed = false
		}
	}
	if installed && device != power.BootNetwork {
		return m.runSystem(ctx, system)
	}
	if device == power.BootDisk {
		return errors.New("no disk has a system")
	}
	err := m.bootNetwork(ctx)
	if errors.Is(err, errExit) && installed {
		return m.runSystem(ctx, system)
	}
	return err
}

// at is called on coming to a step: it notes it and lets the faults of that
// step happen.
func (m *Machine) at(ctx context.Context, step Step, format string, args ...any) error {
	m.note(step, format, args...)
	return m.trouble(ctx, step, 0)
}

// hang is what a machine does that a fault has stopped: nothing, until power goes.
func (m *Machine) hang(ctx context.Context, f Fault) error {
	m.note(f.Step, "fault: %s", f)
	<-ctx.Done()
	return ctx.Err()
}

// trouble lets the faults happen that end or stop a machine.
func (m *Machine) trouble(ctx context.Context, step Step, percent int) error {
	if f, hit := m.fault(PowerLoss, step, percent); hit {
		m.note(step, "fault: %s", f)
		return errPowerLost
	}
	if f, hit := m.fault(Killed, step, percent); hit {
		m.note(step, "fault: %s", f)
		return errKilled
	}
	if f, hit := m.fault(Silent, step, percent); hit {
		return m.hang(ctx, f)
	}
	m.mu.Lock()
	gate := m.gate
	m.mu.Unlock()
	if f, hit := m.fault(Hold, step, percent); hit {
		m.note(step, "fault: %s", f)
		select {
		case <-gate:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}
