package lab

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"sprout"
	"sprout/power"
	"sprout/power/redfish/emulator"
)

// firstBMCPort is the port of the first machine's BMC.
const firstBMCPort = 6200

// A Machine is a racked machine as people see it.
type Machine struct {
	Spec
	BMC    sprout.BMC         `json:"bmc"`
	Power  sprout.PowerState  `json:"power"`
	PID    int                `json:"pid,omitempty"`
	Starts []power.BootDevice `json:"starts"` // what each start since the lab is up booted from; "" is the normal order
}

// A placed machine is what the machine's file holds.
type placed struct {
	Spec     Spec   `json:"spec"`
	Port     int    `json:"port"`
	Password string `json:"password"`
}

// A slot is a machine with its BMC.
type slot struct {
	*machine
	placed
	server *http.Server
	ended  chan struct{}
}

// A rack holds the machines of a lab.
type rack struct {
	lab     string
	dir     string // one directory a machine
	address netip.Addr
	bridge  netlink.Link
	starter *starter
	environ []string
	log     *slog.Logger

	mu    sync.Mutex
	slots map[string]*slot
}

const bmcUser = "admin"

// load racks again what was racked when the lab last ran; everything is off, as
// after a power cut.
func (k *rack) load() error {
	entries, err := os.ReadDir(k.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot read the rack: %w", err)
	}
	for _, e := range entries {
		var p placed
		err := readJSON(filepath.Join(k.dir, e.Name(), specFile), &p)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a plug that was cut short
		}
		if err == nil {
			_, err = k.insert(p)
		}
		if err != nil {
			return fmt.Errorf("cannot rack %s again: %w", e.Name(), err)
		}
	}
	return nil
}

// plug racks a new machine, switched off.
func (k *rack) plug(spec Spec) (Machine, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	spec.complete(k.lab)
	if err := k.admit(&spec); err != nil {
		return Machine{}, err
	}
	p := placed{Spec: spec, Port: k.freePort(), Password: rand.Text()[:20]}
	dir := filepath.Join(k.dir, spec.Name)
	if err := furnish(dir, p); err != nil {
		return Machine{}, errors.Join(fmt.Errorf("cannot rack %s: %w", spec.Name, err), os.RemoveAll(dir))
	}
	s, err := k.insert(p)
	if err != nil {
		return Machine{}, errors.Join(err, os.RemoveAll(dir))
	}
	k.log.Info("plugged", "machine", spec.Name, "firmware", spec.Firmware)
	return k.show(s), nil
}

// admit checks a spec, alone and against the others.
func (k *rack) admit(spec *Spec) error {
	if err := spec.check(); err != nil {
		return err
	}
	if k.slots[spec.Name] != nil {
		return sprout.Errorf(sprout.Conflict, "cannot plug %s: a machine of this name is racked", spec.Name).WithRemedy("sprout lab remove %s", spec.Name)
	}
	taken := map[string]string{}
	for name, s := range k.slots {
		for _, n := range s.spec.NICs {
			taken[n.MAC] = name
		}
	}
	for _, n := range spec.NICs {
		if by := taken[n.MAC]; by != "" {
			return sprout.Errorf(sprout.Conflict, "cannot plug %s: %s has the MAC %s", spec.Name, by, n.MAC)
		}
		taken[n.MAC] = spec.Name
	}
	return nil
}

func (k *rack) freePort() int {
	for port := firstBMCPort; ; port++ {
		if !slices.ContainsFunc(k.sorted(), func(s *slot) bool { return s.Port == port }) {
			return port
		}
	}
}

// furnish makes a machine's directory: empty disks, fresh firmware variables.
// The spec comes last: without it the machine was never racked.
func furnish(dir string, p placed) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for i, d := range p.Spec.Disks {
		if err := sparse(filepath.Join(dir, diskFile(i)), d.Bytes); err != nil {
			return err
		}
	}
	if p.Spec.Firmware == sprout.UEFI {
		board := boards[p.Spec.Architecture]
		_, fresh := board.firmware(p.Spec.SecureBoot)
		vars, err := os.ReadFile(fresh)
		if err != nil {
			return sprout.Errorf(sprout.Unavailable, "cannot find UEFI firmware: %w", err).WithRemedy("%s", board.get)
		}
		if err := os.WriteFile(filepath.Join(dir, varsFile), vars, 0o600); err != nil {
			return err
		}
	}
	return writeJSON(filepath.Join(dir, specFile), p)
}

func sparse(path string, bytes int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(bytes), f.Close())
}

// insert puts a machine whose files exist into its slot and opens its BMC.
func (k *rack) insert(p placed) (*slot, error) {
	p.Spec.Architecture = cmp.Or(p.Spec.Architecture, sprout.AMD64) // it was racked when there was no other
	m := &machine{
		spec: p.Spec, dir: filepath.Join(k.dir, p.Spec.Name), bridge: k.bridge,
		starter: k.starter, environ: k.environ, log: k.log,
	}
	// The BMC has forgotten what was inserted before the lab last ended.
	if err := os.Remove(filepath.Join(m.dir, mediaFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot empty the drive of %s: %w", p.Spec.Name, err)
	}
	m.bmc = emulator.New(facts(p.Spec), m, bmcUser, p.Password, k.log.With("bmc", p.Spec.Name))
	m.bmc.SetFaults(emulator.Faults{NoMedia: p.Spec.NoMedia})
	listener, err := net.Listen("tcp", k.bmcAddress(p))
	if err != nil {
		return nil, fmt.Errorf("cannot open the BMC of %s: %w", p.Spec.Name, err)
	}
	s := &slot{machine: m, placed: p, ended: make(chan struct{})}
	s.server = &http.Server{Handler: m.bmc, ReadHeaderTimeout: 30 * time.Second}
	go func() {
		defer close(s.ended)
		_ = s.server.Serve(listener) // ends with Close
	}()
	k.slots[p.Spec.Name] = s
	return s, nil
}

func (k *rack) bmcAddress(p placed) string {
	return netip.AddrPortFrom(k.address, uint16(p.Port)).String()
}

func facts(s Spec) emulator.Facts {
	f := emulator.Facts{
		Name: s.Name, UUID: s.UUID, Serial: s.Serial, Manufacturer: "Sprout", Model: "lab",
		CPUs: s.CPUs, MemoryMB: s.MemoryMB, Modes: []sprout.BootMode{s.Firmware},
	}
	for _, n := range s.NICs {
		f.MACs = append(f.MACs, n.MAC)
	}
	return f
}

// remove takes a machine out of the rack, with its disks.
func (k *rack) remove(name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, err := k.find(name)
	if err != nil {
		return err
	}
	delete(k.slots, name)
	k.log.Info("removed", "machine", name)
	return errors.Join(s.close(), os.RemoveAll(s.dir))
}

// cut pulls a machine's power cord and puts it back: the machine is off.
func (k *rack) cut(ctx context.Context, name string) error {
	s, err := k.get(name)
	if err != nil {
		return err
	}
	k.log.Info("power cut", "machine", name)
	return s.PowerOff(ctx)
}

// powerOn presses a machine's power button.
func (k *rack) powerOn(ctx context.Context, name string) error {
	s, err := k.get(name)
	if err != nil || s.Power() == sprout.PowerOn {
		return err
	}
	return s.PowerOn(ctx, s.bmc.TakeBoot())
}

func (k *rack) setLink(ctx context.Context, name string, nic int, up bool) error {
	s, err := k.get(name)
	if err != nil {
		return err
	}
	return s.SetLink(ctx, nic, up)
}

func (k *rack) get(name string) (*slot, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.find(name)
}

func (k *rack) find(name string) (*slot, error) {
	s := k.slots[name]
	if s == nil {
		return nil, sprout.Errorf(sprout.NotFound, "no machine %s is racked", name).WithRemedy("sprout lab list")
	}
	return s, nil
}

func (k *rack) list() []Machine {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := []Machine{}
	for _, s := range k.sorted() {
		all = append(all, k.show(s))
	}
	return all
}

func (k *rack) sorted() []*slot {
	var all []*slot
	for _, s := range k.slots {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *slot) int { return cmp.Compare(strings.ToLower(a.spec.Name), strings.ToLower(b.spec.Name)) })
	return all
}

func (k *rack) show(s *slot) Machine {
	pid, starts := s.state()
	return Machine{
		Spec:  s.Spec,
		BMC:   sprout.BMC{Driver: "redfish", URL: "http://" + k.bmcAddress(s.placed), Username: bmcUser, Password: s.Password},
		Power: s.Power(), PID: pid, Starts: starts,
	}
}

// close stops every machine and BMC; the disks stay.
func (k *rack) close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var errs []error
	for _, s := range k.slots {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

// close ends the BMC first, so that nobody switches the machine on again.
func (s *slot) close() error {
	err := s.server.Close()
	<-s.ended
	s.bmc.Close()
	return errors.Join(err, s.machine.close())
}
