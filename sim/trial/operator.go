package trial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"time"

	"sprout"
	"sprout/api"
	"sprout/client"
	"sprout/power/redfish/emulator"
	"sprout/sim"
)

// imageBytes is the size of the image that machines get.
const imageBytes = 1 << 20

// journalOfEach is how many entries of its journal each machine keeps: what it
// does is told as it happens, so nobody looks back.
const journalOfEach = 4

// firmwareWaits is how long the firmware of a storm first waits for an answer of
// DHCP, as PXE 2.1 has it: 4, 8, 16 and 32 seconds.
const firmwareWaits = 4 * time.Second

// retries is how often the operator runs a failed workflow on.
const retries = 3

// prepare imports the image: bytes that do not compress, made on the fly.
func (t *trial) prepare(ctx context.Context) (sprout.Image, error) {
	raw := make([]byte, imageBytes)
	var seed [32]byte
	copy(seed[:], fmt.Sprint("image ", t.Seed))
	_, _ = rand.NewChaCha8(seed).Read(raw) // never fails
	image, err := t.client.ImportImage(ctx, api.ImportImage{Name: "simulated", Content: bytes.NewReader(raw)}, imageBytes)
	if err != nil {
		return image, fmt.Errorf("cannot import the image: %w", err)
	}
	return image, nil
}

// A subject is one machine on its way, as its operator knows it.
type subject struct {
	n     int
	over  bool // it has come to the goal, or ended early
	name  string
	mac   string
	site  *site
	slot  *sim.Slot
	home  netip.Addr // the last that it phoned home from; the machine's goroutine's
	known sprout.MachineID

	faults []Fault // that its dice gave it

	mu       sync.Mutex      // the machine tells from its own goroutine, and faults come at their time
	bmc      emulator.Faults // of its BMC
	squatted int             // so many of its addresses are to be somebody else's
	step     sim.Step
	since    time.Time
	dropAt   sim.Step // at which its BMC forgets its sessions; empty: never

	result Result
}

// A stage takes a machine one state further.
type stage struct {
	goal Goal
	do   func(*trial, context.Context, *subject) error
}

// stages lists what is done with a machine, in order.
var stages = []stage{
	{Discover, (*trial).discover},
	{Commission, (*trial).commission},
	{Deploy, (*trial).deploy},
	{All, (*trial).release},
}

// stages returns those up to the goal; nil where there is no such goal.
func (c Config) stages() []stage {
	for i, s := range stages {
		if s.goal == c.Goal {
			return stages[:i+1]
		}
	}
	return nil
}

// subject is machine i, not plugged in yet.
func (t *trial) subject(i int) *subject {
	s := &subject{
		n: i, name: fmt.Sprintf("sim%05d", i+1), mac: fmt.Sprintf("52:54:%02x:%02x:%02x:%02x", i>>24&0xff, i>>16&0xff, i>>8&0xff, i&0xff),
		site: t.ground.sites[i%len(t.ground.sites)],
	}
	s.result = Result{Machine: s.name, Site: s.site.name, Outcome: Finished}
	return s
}

// manage takes a machine through stages, the last of which end it. One that has
// ended early stays as it is.
func (t *trial) manage(ctx context.Context, s *subject, round []stage, last bool) {
	if s.over {
		return
	}
	t.pass(ctx, s, round)
	if last || s.result.Outcome != Finished {
		s.over = true
		if s.result.Outcome == Finished && s.result.Retries > 0 {
			s.result.Outcome = Retried
		}
		t.end(s)
	}
}

func (t *trial) pass(ctx context.Context, s *subject, round []stage) {
	if s.slot == nil {
		if err := t.plug(s, s.n); err != nil {
			s.result.lose("plug", err)
			return
		}
	}
	for _, stage := range round {
		stageCtx, cancel := context.WithTimeout(ctx, t.Patience)
		err := t.inflict(s, stage.goal)
		if err == nil {
			err = stage.do(t, stageCtx, s)
		}
		late := stageCtx.Err() != nil
		cancel()
		switch {
		case err == nil:
			t.score.reached(stage.goal)
			continue
		case ctx.Err() != nil:
			s.result.Outcome = Interrupted
		case late:
			s.result.lose(string(stage.goal), fmt.Errorf("no end after %s; the machine was at %s", t.Patience, s.at()))
		default:
			s.result.fail(string(stage.goal), err)
		}
		return
	}
}

// end tells how it ended with the machine.
func (t *trial) end(s *subject) {
	s.mu.Lock()
	defer s.mu.Unlock()
	result := s.result
	if s.bmc != (emulator.Faults{}) {
		left := s.slot.BMC.Faults()
		for name, times := range map[string]int{"bmc-503": s.bmc.Unavailable - left.Unavailable, "boot-order-ignored": s.bmc.IgnoreOverride - left.IgnoreOverride} {
			if times > 0 {
				result.Faults = append(result.Faults, fmt.Sprintf("%s %d times", name, times))
			}
		}
	}
	if times := s.squatted - s.site.squatters.Left(s.mac); times > 0 {
		result.Faults = append(result.Faults, fmt.Sprintf("address-squatted %d times", times))
	}
	t.score.end(result)
	if t.Ended != nil {
		t.Ended(result)
	}
}

// plug racks the machine with the faults that its dice give it.
func (t *trial) plug(s *subject, i int) (err error) {
	dice := rand.New(rand.NewPCG(t.Seed, uint64(i)+2)) // it is no secret
	config := sim.Config{
		Spec: sim.Spec{Name: s.name, MACs: []string{s.mac}, BootMode: []sprout.BootMode{sprout.BIOS, sprout.UEFI}[i%2]},
		Wire: s.site.wire(), Memory: journalOfEach, Watch: func(e sim.Entry) { t.saw(s, e) },
		Log: t.Log.With("process", "machine"),
	}
	if t.Within > 0 {
		config.Pace.Offer = firmwareWaits
	}
	for _, f := range t.Faults {
		if f.hits(s.name, dice.Float64()) {
			s.faults = append(s.faults, f)
		}
	}
	s.slot, err = t.rack.Plug(config)
	return err
}

// saw times the machine's own steps. It is called from the machine's goroutine.
func (t *trial) saw(s *subject, e sim.Entry) {
	s.mu.Lock()
	last, since, drop := s.step, s.since, s.dropAt == e.Step
	if last != e.Step {
		s.step, s.since = e.Step, e.At
	}
	if drop {
		s.dropAt = ""
		s.result.Faults = append(s.result.Faults, "bmc-dropped-session@"+string(e.Step))
	}
	if fault, ok := strings.CutPrefix(e.Detail, "fault: "); ok {
		s.result.Faults = append(s.result.Faults, fault)
	}
	s.mu.Unlock()
	if drop {
		s.slot.BMC.DropSessions()
	}
	if last != e.Step && last != "" && timed[last] {
		t.score.took("machine", string(last), e.At.Sub(since))
	}
	if e.Step == sim.StepDHCP && strings.HasPrefix(e.Detail, "cannot boot") {
		t.score.bootFailed()
	}
	if ip, ok := strings.CutPrefix(e.Detail, "from "); ok && e.Step == sim.StepHome {
		if addr, err := netip.ParseAddr(ip); err == nil {
			s.home = addr
			t.score.address(addr, s.name)
		}
	}
	if e.Step == sim.StepOff {
		t.score.freed(s.home, s.name)
	}
}

// timed are the machine's steps that are work, not waiting.
var timed = map[sim.Step]bool{
	sim.StepDHCP: true, sim.StepLoader: true, sim.StepScript: true, sim.StepKernel: true, sim.StepHello: true,
	sim.StepInspect: true, sim.StepTest: true, sim.StepWrite: true, sim.StepErase: true, sim.StepHome: true,
}

func (s *subject) at() sim.Step {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.step
}

// discover presses the power button of a machine that nobody knows, and waits
// until the control plane has found it; then takes it in, with its BMC.
func (t *trial) discover(ctx context.Context, s *subject) error {
	began := time.Now()
	name := "new-" + s.name // by its serial number, which is its name
	found := t.watch.discovered(name)
	defer t.watch.forget(name)
	press := time.NewTicker(time.Second)
	defer press.Stop()
	for on, since := false, began; ; {
		hangs := time.Since(since) > t.ResetAfter
		if !on || hangs || s.slot.Machine.Power() == sprout.PowerOff {
			if on { // its supply tripped, or it hangs; somebody walks there
				s.result.Retries++
				_ = s.slot.Machine.PowerOff(ctx) // never fails
			}
			on, since = true, time.Now()
			if err := s.slot.Machine.PowerOn(ctx, s.slot.BMC.TakeBoot()); err != nil {
				return err
			}
		}
		select {
		case s.known = <-found:
			t.score.took("whole", string(Discover), time.Since(began))
			if t.ByStage || t.Within > 0 { // its ramdisk would wait for long
				return s.slot.Machine.PowerOff(ctx)
			}
			return nil
		case <-press.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// accept names the machine and says how to switch it.
func (t *trial) accept(ctx context.Context, s *subject) error {
	ref := api.MachineRef{Machine: string(s.known)}
	update := api.UpdateMachine{MachineRef: ref}
	update.Body.Name = &s.name
	update.Body.BMC = &sprout.BMC{Driver: "redfish", URL: s.slot.URL, Username: bmcUser, Password: bmcPassword}
	if _, err := client.Call(ctx, t.client, api.MachineUpdate, update); err != nil {
		return err
	}
	_, err := client.Call(ctx, t.client, api.MachineAccept, ref)
	return err
}

// limit sets how long steps may take on the machines' model, once.
func (t *trial) limit(ctx context.Context) error {
	if len(t.Limits) == 0 {
		return nil
	}
	t.limiting.Lock()
	defer t.limiting.Unlock()
	if t.limited {
		return nil
	}
	in := api.SetModel{ModelRef: api.ModelRef{Model: "Sprout Simulated"}}
	in.Body.Limits = map[string]int64{}
	for step, limit := range t.Limits {
		in.Body.Limits[step] = int64(limit / time.Second)
	}
	_, err := client.Call(ctx, t.client, api.ModelSet, in)
	t.limited = err == nil
	return err
}

func (t *trial) commission(ctx context.Context, s *subject) error {
	if err := t.limit(ctx); err != nil {
		return err
	}
	if err := t.accept(ctx, s); err != nil {
		return err
	}
	in := api.CommissionMachine{MachineRef: api.MachineRef{Machine: string(s.known)}}
	w, err := client.Call(ctx, t.client, api.MachineCommission, in)
	if err != nil {
		return err
	}
	if err := t.follow(ctx, s, w); err != nil {
		return err
	}
	return t.mustBe(ctx, s, sprout.Ready)
}

func (t *trial) deploy(ctx context.Context, s *subject) error {
	var want api.AllocateMachine
	want.Body.Site, want.Body.Name, want.Body.Owner = s.site.name, s.name, "sim"
	if _, err := client.Call(ctx, t.client, api.MachineAllocate, want); err != nil {
		return err
	}
	in := api.DeployMachine{MachineRef: api.MachineRef{Machine: string(s.known)}}
	in.Body.Image = t.image.Name
	plan, err := client.Call(ctx, t.client, api.MachineDeploy, in)
	if err != nil {
		return err
	}
	if err := t.follow(ctx, s, *plan.Workflow); err != nil {
		return err
	}
	system, ok := s.slot.Machine.Installed()
	if !ok || system.RawDigest != t.image.RawDigest || !system.Homed {
		t.score.violated("%s is called deployed, and its disk does not hold the image (%+v)", s.name, system.Image)
		return sprout.Fail(sprout.VerifyFailed, "the control plane calls it deployed, and its disk does not hold the image", "")
	}
	return nil
}

func (t *trial) release(ctx context.Context, s *subject) error {
	in := api.ReleaseMachine{MachineRef: api.MachineRef{Machine: string(s.known)}}
	in.Body.Erase = true
	plan, err := client.Call(ctx, t.client, api.MachineRelease, in)
	if err != nil {
		return err
	}
	if err := t.follow(ctx, s, *plan.Workflow); err != nil {
		return err
	}
	if dirty := s.slot.Machine.Dirty(); len(dirty) > 0 {
		t.score.violated("%s is called erased, and its disk holds data", s.name)
		return sprout.Fail(sprout.EraseFailed, "the control plane calls it erased, and its disk holds data", dirty[0].Name)
	}
	return t.mustBe(ctx, s, sprout.Ready)
}

// mustBe checks a machine's state after its workflow.
func (t *trial) mustBe(ctx context.Context, s *subject, state sprout.State) error {
	m, err := client.Call(ctx, t.client, api.MachineShow, api.MachineRef{Machine: string(s.known)})
	if err != nil {
		return err
	}
	if inv := m.Inventory; inv != nil && time.Since(inv.At).Abs() > time.Hour+t.Patience {
		t.score.violated("%s is said to have been inspected at %s", s.name, inv.At)
	}
	if m.State == state {
		return nil
	}
	if len(m.Problems) > 0 {
		p := m.Problems[0]
		return sprout.Fail(p.Code, p.Reason, p.Evidence)
	}
	return fmt.Errorf("the machine is %s, not %s", m.State, state)
}

// follow waits for a workflow, and runs one that failed on, a few times.
func (t *trial) follow(ctx context.Context, s *subject, w sprout.Workflow) error {
	for tries := 0; ; tries++ {
		ended, err := t.watch.workflow(ctx, w.ID)
		if err != nil {
			return err
		}
		if ended.State == sprout.Succeeded {
			t.timeSteps(ended)
			return nil
		}
		if ended.Error == nil {
			return fmt.Errorf("%s %s, and does not say why", w.Kind, ended.State)
		}
		if named := t.score.failed(*ended.Error); !named || tries == retries {
			return ended.Error
		}
		s.result.Retries++
		s.result.Causes = append(s.result.Causes, ended.Error.Code)
		if _, err := client.Call(ctx, t.client, api.WorkflowRetry, api.WorkflowRef{Workflow: string(w.ID)}); err != nil {
			return err
		}
	}
}

// timeSteps takes the durations that the control plane itself has recorded.
func (t *trial) timeSteps(w sprout.Workflow) {
	for _, step := range w.Steps {
		if step.EndedAt != nil && step.Outcome == "done" {
			t.score.took(step.At, w.Kind+" "+step.Name, step.EndedAt.Sub(step.StartedAt))
		}
	}
	if w.EndedAt != nil {
		t.score.took("whole", w.Kind, w.EndedAt.Sub(w.CreatedAt))
	}
}

// causeOf returns the code of why, empty where the product has not named one.
func causeOf(err error) sprout.Code {
	var f *sprout.Failure
	if errors.As(err, &f) && f.Code != sprout.InternalFailure {
		return f.Code
	}
	return ""
}
