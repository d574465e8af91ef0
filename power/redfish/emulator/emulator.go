// Package emulator is a BMC that speaks Redfish (DSP0266) for a machine that is
// not there: a QEMU process of the lab, a simulated machine, a test's. It keeps
// sessions and the boot override, as a BMC does. It must not know how its
// machine is switched, nor who asks.
package emulator

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"sprout"
	"sprout/power"
)

// A Boot is what a machine boots from at one start. The zero value is its
// normal order.
type Boot struct {
	Device power.BootDevice
	Mode   sprout.BootMode
}

// A Machine is what the BMC is wired to. Its methods may be called at once from
// several requests, and may be repeated.
type Machine interface {
	// Power tells whether the machine runs.
	Power() sprout.PowerState
	// PowerOn starts the machine; it is no error that it runs already.
	PowerOn(ctx context.Context, boot Boot) error
	// PowerOff stops the machine at once and returns when it has stopped.
	PowerOff(ctx context.Context) error
	// InsertMedia puts the CD image at the URL into the machine's drive, in place
	// of what is in: the BMC fetches it.
	InsertMedia(ctx context.Context, url string) error
	// EjectMedia takes out what is in the drive; nothing is no error.
	EjectMedia(ctx context.Context) error
	// Shutdown presses the power button: it asks the operating system.
	Shutdown(ctx context.Context) error
}

// Facts is what the BMC tells about the machine.
type Facts struct {
	Name         string
	UUID         string
	Serial       string
	Manufacturer string
	Model        string
	CPUs         int
	MemoryMB     int
	Modes        []sprout.BootMode // it can boot in; the first is the normal one
	MACs         []string
}

// Faults are what the BMC does wrong. The zero value is a good BMC.
type Faults struct {
	Unavailable    int           // so many requests are answered 503 first
	Delay          time.Duration // before every answer
	IgnoreOverride int           // so many boot overrides are accepted and dropped first
	IgnoreReset    bool          // power commands are accepted and dropped
	SlowReset      time.Duration // power commands are accepted as a task that takes so long
	NoSessions     bool          // only basic authentication
	NoMode         bool          // the boot override has no mode
	NoMedia        bool          // no virtual media
	OldMedia       bool          // virtual media of its manager alone, without actions, as before ComputerSystem 1.13
	KeepMedia      bool          // what is inserted stays in, whatever is said
	NoConsole      bool          // no serial console
	OtherBMC       bool          // the BMC does not say that it is ours
	Moved          bool          // the system is no longer where it was, but at /Systems/Self
	LatePower      time.Duration // the power is told as it was for so long after a reset
	TaskInBody     bool          // a task is named in the answer's body alone
	FullSessions   bool          // there is no session left

	Odd // what single makes do otherwise
}

// Odd is what some makes of BMCs do otherwise, and why the client has a table of
// quirks: each field is what one row of it is for.
type Odd struct {
	UsbCD        bool   // inserted media is a USB CD: from Cd nothing starts
	StaleImage   bool   // an ejected image keeps its name
	ModeLost     bool   // an override without a mode sets the first of all modes
	ModeFixed    bool   // the boot mode cannot be written
	Settings     bool   // the override is written to /Systems/1/SD
	AnyEnabled   bool   // every override reads as Continuous
	ImageAlone   bool   // a drive takes no property but Image
	WithProtocol bool   // an image is taken with TransferProtocolType only
	ETag         string // a change is taken with: body (its own tag), strong (not weak), any, none; empty: as read
}

// A BMC is the emulated service processor of one machine: an http.Handler.
type BMC struct {
	facts    Facts
	username string
	password string
	machine  Machine
	log      *slog.Logger

	mu       sync.Mutex
	faults   Faults
	sessions map[string]string // token of each session by its id
	tasks    map[string]*task
	override override
	image    string // URL of what is in the virtual drive
	stale    string // of what was in it
	was      string // PowerState before the last reset, until
	until    time.Time
	work     sync.WaitGroup // slow resets
}

// An override is the boot override as Redfish tells it.
type override struct {
	Target  string
	Enabled string
	Mode    string
}

// New returns the BMC of machine, open to one user.
func New(facts Facts, machine Machine, username, password string, log *slog.Logger) *BMC {
	b := &BMC{
		facts: facts, username: username, password: password, machine: machine, log: log,
		sessions: map[string]string{}, tasks: map[string]*task{},
	}
	if len(b.facts.Modes) == 0 {
		b.facts.Modes = []sprout.BootMode{sprout.BIOS}
	}
	b.override = b.noOverride()
	return b
}

func (b *BMC) noOverride() override {
	return override{Target: "None", Enabled: "Disabled", Mode: modeNames[b.facts.Modes[0]]}
}

// Close waits for resets that are under way.
func (b *BMC) Close() { b.work.Wait() }

// SetFaults makes the BMC misbehave from now on.
func (b *BMC) SetFaults(f Faults) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = f
}

// Faults are those that are left: what happens so many times counts down.
func (b *BMC) Faults() Faults {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.faults
}

// DropSessions forgets every session, as a BMC does when it restarts.
func (b *BMC) DropSessions() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.sessions)
}

// Sessions counts the open sessions.
func (b *BMC) Sessions() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sessions)
}

// TakeBoot returns what the next start boots from, and consumes an override
// that is for once. Whoever starts the machine without the BMC's asking (after a
// reset from inside) calls it too.
func (b *BMC) TakeBoot() Boot {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.override
	if now.Enabled == "Disabled" {
		return Boot{}
	}
	if now.Enabled == "Once" {
		b.override = b.noOverride()
	}
	if b.faults.UsbCD && now.Target == "Cd" {
		return Boot{} // there is nothing to start from
	}
	if now.Target == "UsbCd" {
		now.Target = "Cd"
	}
	for device, name := range targetNames {
		if name == now.Target {
			return Boot{Device: device, Mode: modeOf(now.Mode)}
		}
	}
	return Boot{}
}

// fault waits as long as the BMC is slow and tells whether it answers 503.
func (b *BMC) fault(ctx context.Context) bool {
	b.mu.Lock()
	delay, busy := b.faults.Delay, b.faults.Unavailable > 0
	if busy {
		b.faults.Unavailable--
	}
	b.mu.Unlock()
	_ = sprout.Pause(ctx, delay)
	return busy
}

// allowed tells whether the request carries a session or the user's password.
func (b *BMC) allowed(r *http.Request) bool {
	if user, password, ok := r.BasicAuth(); ok {
		return b.isUser(user, password)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	given := r.Header.Get("X-Auth-Token")
	for _, token := range b.sessions {
		if subtle.ConstantTimeCompare([]byte(token), []byte(given)) == 1 {
			return true
		}
	}
	return false
}

func (b *BMC) isUser(user, password string) bool {
	right := subtle.ConstantTimeCompare([]byte(user), []byte(b.username))
	return right&subtle.ConstantTimeCompare([]byte(password), []byte(b.password)) == 1
}

// open makes a session and returns its id and token.
func (b *BMC) open() (id, token string) {
	id, token = rand.Text()[:10], rand.Text()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sessions[id] = token
	return id, token
}
