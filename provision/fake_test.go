package provision

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"sprout"
	"sprout/power"
	"sprout/workflow/workflowtest"
)

type tx = *workflowtest.Tx

// A siteWorld is a site with one machine, in memory: what its steps write is
// in the transactions of a workflowtest.Memory.
type siteWorld struct {
	*workflowtest.Memory
	clock *workflowtest.Clock

	mu       sync.Mutex
	power    sprout.PowerState
	boot     power.BootDevice
	cached   bool
	silent   bool
	ordered  sprout.Order // the last one to test
	noTests  bool         // the centre does not give executables of tests
	dropped  int
	virtual  bool            // the machine boots by virtual media
	media    string          // what is in its virtual drive
	booted   string          // what was, when it was last turned on
	squatter string          // has every address
	turn     sprout.Turn     // of the machine, once it was ordered to write
	forgot   bool            // the agent was started anew, and knows no turns
	about    sprout.BMCAbout // what its BMC has told of itself
	cause    *sprout.Failure // what the site can tell of a boot that stopped
	rest     *sprout.Rest    // its ramdisk waits
	starts   int             // how often it was switched on
	kexec    bool            // it was told to start the kernel on its disk by itself
}

func newSiteWorld() *siteWorld {
	return &siteWorld{Memory: workflowtest.NewMemory(), clock: workflowtest.NewClock(), power: sprout.PowerOff}
}

func (w *siteWorld) Machine(context.Context, sprout.MachineID) (sprout.SiteMachine, error) {
	return sprout.SiteMachine{ID: "mch_1", Name: "m1", VirtualMedia: w.virtual, BMC: &sprout.BMC{Driver: "redfish", URL: "https://10.0.0.5"}}, nil
}
func (w *siteWorld) Busy(context.Context, sprout.MachineID, string) (string, error) { return "", nil }
func (w *siteWorld) Power(context.Context, sprout.MachineID) (power.Provider, error) {
	return (*siteBMC)(w), nil
}
func (w *siteWorld) Turn(attempt sprout.AttemptID) (sprout.Turn, bool) {
	return w.turn, !w.forgot && w.Values()["order"] == string(attempt)+"/write-image"
}
func (w *siteWorld) AgentURL(netip.Addr) string                         { return "http://10.0.0.1" }
func (w *siteWorld) MediaURL() string                                   { return "http://10.1.0.1" }
func (w *siteWorld) CheckMedia(context.Context, sprout.MachineID) error { return nil }
func (w *siteWorld) Probe(_ context.Context, _ sprout.MachineID, ips []netip.Addr) ([]sprout.AddressProbe, error) {
	var all []sprout.AddressProbe
	for _, ip := range ips {
		p := sprout.AddressProbe{IP: ip, State: sprout.ProbeFree}
		if w.squatter != "" {
			p.State, p.MAC = sprout.ProbeTaken, w.squatter
		}
		all = append(all, p)
	}
	return all, nil
}
func (w *siteWorld) FetchImage(context.Context, sprout.Image, func(done, total int64)) error {
	w.cached = true
	return nil
}
func (w *siteWorld) FetchTest(_ context.Context, t sprout.Test) error {
	if w.noTests {
		return sprout.Fail(sprout.ImageUnavailable, "the test "+t.Name+" could not be had", "")
	}
	return nil
}
func (w *siteWorld) DropCorruptImage(context.Context, string) (bool, error) {
	w.cached = false
	w.dropped++
	return true, nil
}
func (w *siteWorld) LastSeen(sprout.AttemptID) (time.Time, bool) {
	if w.silent {
		return time.Time{}, false
	}
	return w.clock.Now(), true
}
func (w *siteWorld) Diagnose(_ context.Context, _ sprout.MachineID, attempt sprout.AttemptID, step string) (sprout.Failure, bool) {
	if w.cause == nil {
		return sprout.Failure{}, false
	}
	return sprout.Failure{Code: w.cause.Code, Reason: w.cause.Reason, Evidence: string(attempt) + " at " + step}, true
}
func (w *siteWorld) SetIntent(_ context.Context, t tx, in sprout.Intent) error {
	t.Put("intent", string(in.Attempt))
	t.Put("woken", "yes")
	t.Put("token", in.Token)
	return nil
}
func (w *siteWorld) Rest(_ context.Context, t tx, _ sprout.MachineID, rest sprout.Rest) error {
	if w.rest != nil && w.Values()["token"] == "" {
		return sprout.Errorf(sprout.NotFound, "cannot find boot attempt %s: it is over", rest.Attempt)
	}
	t.Delete("intent")
	t.Delete("woken")
	w.rest = &rest
	return nil
}
func (w *siteWorld) Resting(context.Context, sprout.MachineID) (sprout.Rest, bool, error) {
	if w.rest == nil || w.Values()["woken"] != "" {
		return sprout.Rest{}, false, nil
	}
	return *w.rest, true, nil
}
func (w *siteWorld) BootDisk(_ context.Context, t tx, _ sprout.MachineID) error {
	t.Delete("intent")
	return nil
}
func (w *siteWorld) ClearIntent(_ context.Context, t tx, _ sprout.MachineID) error {
	t.Delete("intent")
	return nil
}
func (w *siteWorld) EndAttempt(_ context.Context, t tx, _ sprout.MachineID) error {
	t.Delete("token")
	t.Put("woken", "yes")
	return nil
}
func (w *siteWorld) Give(_ context.Context, t tx, _ sprout.AttemptID, o sprout.Order) error {
	if _, stands := t.Get("intent"); stands && o.Kind == sprout.OrderReboot {
		return errors.New("the machine is told to reboot while it would boot its ramdisk again")
	}
	if o.Kind == sprout.OrderTest {
		w.ordered = o
	}
	w.kexec = w.kexec || o.Kexec
	t.Put("order", o.ID)
	return nil
}
func (w *siteWorld) Report(_ context.Context, t tx, f sprout.Fact) error {
	t.Note("%s %s", f.Kind, f.Body)
	return nil
}

// siteBMC is the power provider of the world's machine.
type siteBMC siteWorld

func (b *siteBMC) Status(context.Context) (sprout.PowerState, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.power, nil
}
func (b *siteBMC) Set(_ context.Context, want sprout.PowerState) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if want == sprout.PowerOn && b.power != want {
		b.starts++
		b.booted = b.media
	}
	b.power = want
	return nil
}
func (b *siteBMC) BootOnce(_ context.Context, d power.BootDevice, _ sprout.BootMode) error {
	b.boot = d
	return nil
}
func (b *siteBMC) Systems(context.Context) ([]sprout.FoundSystem, error) { return nil, nil }

func (b *siteBMC) InsertMedia(_ context.Context, url string) error {
	b.media = url
	return nil
}
func (b *siteBMC) EjectMedia(context.Context) error {
	b.media = ""
	return nil
}
func (b *siteBMC) Console(context.Context) (io.ReadWriteCloser, error) { return nil, io.EOF }
func (b *siteBMC) About() sprout.BMCAbout                              { return b.about }
func (b *siteBMC) Close(context.Context) error                         { return nil }

// reports are what the world's ramdisk answers to each order.
func reportOf(order string, step string, img sprout.Image) sprout.Report {
	r := sprout.Report{Order: order, Outcome: "done"}
	switch step {
	case "inspect":
		r.Inventory = &sprout.Inventory{MemoryBytes: 1 << 30}
	case "test-hardware":
		r.Tests = []sprout.TestResult{{Test: "disk-read", Device: "vda", Outcome: sprout.Passed}}
	case "write-image":
		r.Written = &sprout.Written{RawDigest: img.RawDigest, RawBytes: 1 << 20, Verified: true}
	case "erase-disks":
		r.Erased = []sprout.Erased{{Disk: sprout.Disk{Name: "vda"}, Method: "zeroes", Verified: 1 << 20}}
	case "open-shell":
		r.Shell = &sprout.Shell{User: "root", Address: "10.0.0.10", HostKey: "SHA256:x"}
	}
	return r
}

var testImage = sprout.Image{Name: "debian-12", Digest: "sha256:aa", RawDigest: "sha256:bb"}

func mustBe(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
