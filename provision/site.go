package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"sprout"
	"sprout/power"
	"sprout/workflow"
)

// SiteDefinitions lists the workflows of a site's agent.
func SiteDefinitions[T any](s Site[T], l Limits) []workflow.Definition[T] {
	p := site[T]{s, l.withDefaults()}
	all := []workflow.Definition[T]{p.commission(), p.deploy(), p.release(), p.rescue(), p.unrescue()}
	for _, d := range all {
		for i := range d.Steps {
			d.Steps[i].Limit = given
		}
	}
	return all
}

// given is how long the run's work says that the step it is at may take.
func given(run workflow.Run) time.Duration {
	var in SiteInput
	if err := json.Unmarshal(run.Input, &in); err != nil {
		return 0 // the step itself says so
	}
	for _, l := range in.Work.Limits {
		if l.Step == run.StepName {
			return min(l.Duration(), LongestLimit)
		}
	}
	return 0
}

type site[T any] struct {
	Site[T]
	limits Limits
}

// SiteInput is the input of a site's run: the work, whole.
type SiteInput struct {
	Machine sprout.MachineID `json:"machine"`
	Work    sprout.Work      `json:"work"`
}

// siteData is what the steps of a site's run leave for later ones.
type siteData struct {
	Attempt  sprout.AttemptID         `json:"attempt,omitempty"`
	Mode     sprout.BootMode          `json:"mode,omitempty"`     // seen in the ramdisk's hello
	Order    string                   `json:"order,omitempty"`    // the order that was given last
	Queued   time.Time                `json:"queued,omitzero"`    // when it began to wait for its turn to download
	Home     string                   `json:"home,omitempty"`     // where the installed system says that it runs
	Metadata string                   `json:"metadata,omitempty"` // where it finds what it is, with a final slash; empty: on its config drive
	Media    string                   `json:"media,omitempty"`    // URL of what the BMC inserts; empty: the machine boots by network
	Shell    *sprout.Shell            `json:"shell,omitempty"`    // of a machine in rescue
	Failed   []string                 `json:"failed,omitempty"`   // hardware tests that failed
	Boot     string                   `json:"boot,omitempty"`     // of the ramdisk that said hello last
	Restarts []sprout.Restart         `json:"restarts,omitempty"` // while hardware was tested
	Resumed  time.Time                `json:"resumed,omitzero"`   // when the machine was started to go on with its tests; its ramdisk has not been heard of since
	Taken    []sprout.AddressConflict `json:"taken,omitempty"`    // addresses that somebody else uses
	Rest     *sprout.Rest             `json:"rest,omitempty"`     // of a deploy: the machine waits in the ramdisk
	Awake    bool                     `json:"awake,omitempty"`    // and has answered
	Restless string                   `json:"restless,omitempty"` // of a commissioning: why it cannot wait
}

func (p site[T]) commission() workflow.Definition[T] {
	return workflow.Definition[T]{Kind: Commission, At: "site", OnEnd: p.onEnd, OnMove: p.onMove, Steps: []workflow.Step[T]{
		{Name: "take-machine", Do: p.takeMachine, Quick: true, Timeout: p.limits.TakeMachine},
		{Name: "fetch-tests", Do: p.fetchTests, Quick: true, Added: true, Timeout: shortStep, Attempts: 3},
		{Name: "probe-addresses", Do: p.probeAddresses, Quick: true, Added: true, Timeout: shortStep},
		{Name: "set-boot-intent", Do: p.setIntent, Quick: true, Undo: p.clearIntent, Timeout: shortStep},
		{Name: "power-on", Do: p.powerOn, Undo: p.undoPowerOn, Timeout: p.limits.Power, Attempts: 3},
		{Name: "boot-ramdisk", Do: p.awaitRamdisk, Quick: true, Timeout: p.limits.BootRamdisk},
		{Name: "eject-media", Do: p.ejectMedia, Quick: true, Added: true, Timeout: p.limits.Power, Attempts: 3},
		{Name: "inspect", Do: p.inspect, Quick: true, Timeout: p.limits.Order},
		{Name: "test-hardware", Do: p.testHardware, Quick: true, Timeout: p.limits.Order},
		{Name: "judge-tests", Do: p.judgeTests, Quick: true, Timeout: shortStep},
		{Name: "power-off", Do: p.powerOffOrRest, Timeout: p.limits.Power, Attempts: 3},
	}}
}

func (p site[T]) deploy() workflow.Definition[T] {
	return workflow.Definition[T]{Kind: Deploy, At: "site", OnEnd: p.onEnd, OnMove: p.onMove, Steps: []workflow.Step[T]{
		{Name: "take-machine", Do: p.takeMachine, Quick: true, Timeout: p.limits.TakeMachine},
		{Name: "fetch-image", Do: p.fetchImage, Timeout: p.limits.FetchImage, Attempts: 3},
		{Name: "probe-addresses", Do: p.probeAddresses, Added: true, Timeout: shortStep},
		{Name: "set-boot-intent", Do: p.setIntent, Quick: true, Undo: p.undoIntent, Timeout: shortStep},
		{Name: "power-on", Do: p.powerOn, Undo: p.undoPowerOn, Timeout: p.limits.Power, Attempts: 3},
		{Name: "boot-ramdisk", Do: p.awaitRamdisk, Quick: true, Timeout: p.limits.BootRamdisk},
		{Name: "eject-media", Do: p.ejectMedia, Quick: true, Added: true, Timeout: p.limits.Power, Attempts: 3},
		{Name: "take-turn", Do: p.takeTurn, Added: true, Quick: true, Timeout: p.limits.TakeTurn},
		{Name: "write-image", Do: p.writeImage, Timeout: p.limits.WriteImage},
		{Name: "boot-disk", Do: p.bootDisk, Timeout: p.limits.Power},
		{Name: "phone-home", Do: p.awaitHome, Quick: true, Undo: p.endAttempt, Timeout: p.limits.PhoneHome},
	}}
}

func (p site[T]) release() workflow.Definition[T] {
	return workflow.Definition[T]{Kind: Release, At: "site", OnEnd: p.onEnd, OnMove: p.onMove, Steps: []workflow.Step[T]{
		{Name: "take-machine", Do: p.takeMachine, Quick: true, Timeout: p.limits.TakeMachine},
		{Name: "await-bmc", Do: p.awaitBMC, Added: true, Timeout: p.limits.AwaitBMC},
		{Name: "probe-addresses", Do: p.probeAddresses, Quick: true, Added: true, Timeout: shortStep},
		{Name: "set-boot-intent", Do: p.toErase(p.setIntent), Quick: true, Undo: p.clearIntent, Timeout: shortStep},
		{Name: "power-on", Do: p.toErase(p.powerOn), Undo: p.undoPowerOn, Timeout: p.limits.Power, Attempts: 3},
		{Name: "boot-ramdisk", Do: p.toErase(p.awaitRamdisk), Quick: true, Timeout: p.limits.BootRamdisk},
		{Name: "eject-media", Do: p.ejectMedia, Quick: true, Added: true, Timeout: p.limits.Power, Attempts: 3},
		{Name: "erase-disks", Do: p.toErase(p.eraseDisks), Timeout: p.limits.EraseDisks},
		{Name: "power-off", Do: p.powerOff, Timeout: p.limits.Power, Attempts: 3},
	}}
}

// toErase skips a step of a release that does not erase.
func (p site[T]) toErase(do func(context.Context, *workflow.Call[T]) error) func(context.Context, *workflow.Call[T]) error {
	return func(ctx context.Context, c *workflow.Call[T]) error {
		var in sprout.ReleaseWork
		if err := workOf(c, &in); err != nil {
			return err
		}
		if !in.Erase {
			c.Detail("skipped: no erase was asked for")
			return nil
		}
		return do(ctx, c)
	}
}

// workOf decodes the input of the run's work into v.
func workOf[T any](c *workflow.Call[T], v any) error {
	var in SiteInput
	if err := c.Input(&in); err != nil {
		return err
	}
	if len(in.Work.Input) == 0 {
		return nil
	}
	return json.Unmarshal(in.Work.Input, v)
}

// state returns the machine of the run and what earlier steps left.
func (p site[T]) state(c *workflow.Call[T]) (sprout.MachineID, siteData, error) {
	id, err := MachineOf(c.Run)
	if err != nil {
		return "", siteData{}, err
	}
	data, err := dataOf(c)
	return id, data, err
}

func dataOf[T any](c *workflow.Call[T]) (data siteData, err error) {
	return data, c.Data(&data)
}

// takeMachine waits until no older run has the machine: it may be unwinding.
func (p site[T]) takeMachine(ctx context.Context, c *workflow.Call[T]) error {
	id, _, err := p.state(c)
	if err != nil {
		return err
	}
	other, err := p.Busy(ctx, id, c.Run.ID)
	if err != nil {
		return err
	}
	if other != "" {
		return workflow.AgainAfter(time.Second, "earlier work on this machine to end: "+other)
	}
	return nil
}

func (p site[T]) setIntent(ctx context.Context, c *workflow.Call[T]) error {
	id, data, err := p.state(c)
	if err != nil {
		return err
	}
	in := sprout.Intent{
		Machine: id, Attempt: sprout.NewID[sprout.AttemptID](sprout.PrefixAttempt), Purpose: c.Run.Kind,
		Token: sprout.NewSecret(), HomeToken: sprout.NewSecret(), ExpiresAt: c.Run.Deadline,
	}
	if in.ExpiresAt.IsZero() {
		in.ExpiresAt = c.Now.Add(deployBy)
	}
	m, err := p.Machine(ctx, id)
	if err != nil {
		return err
	}
	if data.Rest, err = p.rested(ctx, c, m); err != nil {
		return err
	} else if data.Rest != nil {
		in.Attempt = data.Rest.Attempt
	}
	data.Attempt = in.Attempt
	var input SiteInput
	if err := c.Input(&input); err != nil {
		return err
	}
	host := installed(input.Work)
	var from netip.Addr // zero: the host will have no address of ours
	if all := host.Addresses(); len(all) > 0 {
		from = all[0]
	}
	url := p.AgentURL(from)
	data.Home, data.Metadata = fmt.Sprintf("%s/phone-home/%s/%s", url, in.Attempt, in.HomeToken), ""
	if host.Metadata.ByHTTP() {
		in.MetadataToken = sprout.NewSecret()
		data.Metadata = fmt.Sprintf("%s/metadata/%s/%s/", url, in.Attempt, in.MetadataToken)
	}
	if data.Media = ""; m.VirtualMedia {
		in.MediaToken = sprout.NewSecret()
		data.Media = fmt.Sprintf("%s/media/%s/%s/boot.iso", p.MediaURL(), in.Attempt, in.MediaToken)
	}
	c.Detail("boot attempt %s", in.Attempt)
	c.Commit(func(ctx context.Context, tx T) error { return p.SetIntent(ctx, tx, in) })
	return c.Keep(data)
}

// installed is the work of a deploy; the zero one where nothing is to be installed.
func installed(w sprout.Work) (in sprout.DeployWork) {
	if w.Kind == Deploy {
		_ = json.Unmarshal(w.Input, &in) // write-image says what is wrong with it
	}
	return in
}

func (p site[T]) clearIntent(_ context.Context, c *workflow.Call[T]) error {
	id, _, err := p.state(c)
	if err != nil {
		return err
	}
	c.Commit(func(ctx context.Context, tx T) error {
		if err := p.ClearIntent(ctx, tx, id); err != nil {
			return err
		}
		return p.EndAttempt(ctx, tx, id)
	})
	return nil
}

func (p site[T]) endAttempt(_ context.Context, c *workflow.Call[T]) error {
	id, _, err := p.state(c)
	if err != nil {
		return err
	}
	c.Commit(func(ctx context.Context, tx T) error { return p.EndAttempt(ctx, tx, id) })
	return nil
}

func (p site[T]) fetchImage(ctx context.Context, c *workflow.Call[T]) error {
	var in sprout.DeployWork
	if err := workOf(c, &in); err != nil {
		return err
	}
	c.Detail("%s", in.Image.Name)
	err := p.FetchImage(ctx, in.Image, nil)
	var failed *sprout.Failure
	if !errors.As(err, &failed) || !c.Now.Add(roomAgain).Before(c.Run.StepDeadline) {
		return err
	}
	if waits := passing[failed.Code]; waits != "" {
		return workflow.AgainAfter(roomAgain, waits+": "+failed.Evidence)
	}
	return err
}

// fetchTests brings the executables of the tests that were asked for to the site.
func (p site[T]) fetchTests(ctx context.Context, c *workflow.Call[T]) error {
	var in sprout.CommissionWork
	if err := workOf(c, &in); err != nil {
		return err
	}
	if len(in.Tests) == 0 {
		c.Detail("skipped: only the ramdisk's own are to run")
		return nil
	}
	if !c.Claimed() {
		return workflow.Slow()
	}
	var names []string
	for _, r := range in.Tests {
		if err := p.FetchTest(ctx, r.Test); err != nil {
			return err
		}
		names = append(names, r.Test.Name)
	}
	c.Detail("%s", strings.Join(names, ", "))
	return nil
}

// passing are the reasons not to have an image that end by themselves, and what
// is waited for then.
var passing = map[sprout.Code]string{
	sprout.DiskFull:           "room on the disk of the site's agent", // another image goes, or somebody frees some
	sprout.CertificateExpired: "the control plane's certificate to be renewed",
}

// roomAgain is how often a full disk, and a certificate that has run out, is looked
// at again.
const roomAgain = 10 * time.Second

// bmc is the machine that the run is about, and its BMC.
func (p site[T]) bmc(ctx context.Context, c *workflow.Call[T]) (sprout.MachineID, power.Provider, error) {
	id, _, err := p.state(c)
	if err != nil {
		return "", nil, err
	}
	bmc, err := p.Power(ctx, id)
	return id, bmc, err
}

// bmcAgain is how often a BMC that does not answer is asked again.
const bmcAgain = 10 * time.Second

// awaitBMC waits until the machine's BMC answers: a release is rather queued for
// one that is away than failed by it.
func (p site[T]) awaitBMC(ctx context.Context, c *workflow.Call[T]) error {
	_, bmc, err := p.bmc(ctx, c)
	if err != nil {
		return err
	}
	_, err = bmc.Status(ctx)
	if f := failureOf(err); f != nil && f.Code == sprout.BMCUnreachable && c.Now.Add(bmcAgain).Before(c.Run.StepDeadline) {
		return workflow.AgainAfter(bmcAgain, "its BMC to answer: "+f.Reason)
	}
	return err
}

// powerOn starts the machine from the network, once, or from what its BMC inserts;
// a running one is stopped first.
func (p site[T]) powerOn(ctx context.Context, c *workflow.Call[T]) error {
	if awake, err := p.wake(ctx, c); awake || err != nil {
		return err
	}
	id, bmc, err := p.bmc(ctx, c)
	if err != nil {
		return err
	}
	if err := bmc.Set(ctx, sprout.PowerOff); err != nil {
		return err
	}
	if err := p.bootOnce(ctx, c, bmc); err != nil {
		return err
	}
	if err := bmc.Set(ctx, sprout.PowerOn); err != nil {
		return err
	}
	if err := p.factBMC(ctx, c, id, bmc.About()); err != nil {
		return err
	}
	return p.factPower(c, id, sprout.PowerOn)
}

// powerOff stops the machine and ends its boot intent and tokens.
func (p site[T]) powerOff(ctx context.Context, c *workflow.Call[T]) error {
	id, _, err := p.stop(ctx, c)
	if err != nil {
		return err
	}
	return p.factPower(c, id, sprout.PowerOff)
}

// stop switches the machine off, takes out what its BMC inserted, and ends its boot
// intent and tokens.
func (p site[T]) stop(ctx context.Context, c *workflow.Call[T]) (id sprout.MachineID, bmc power.Provider, err error) {
	if id, bmc, err = p.bmc(ctx, c); err != nil {
		return id, bmc, err
	}
	if err := bmc.Set(ctx, sprout.PowerOff); err != nil {
		return id, bmc, err
	}
	if data, err := dataOf(c); err != nil {
		return id, bmc, err
	} else if data.Media != "" {
		if err := bmc.EjectMedia(ctx); err != nil {
			return id, bmc, err
		}
	}
	return id, bmc, p.clearIntent(ctx, c)
}

// undoPowerOn stops the machine.
func (p site[T]) undoPowerOn(ctx context.Context, c *workflow.Call[T]) error {
	return p.unlessRefused(ctx, c, p.powerOff)
}

// unlessRefused undoes by the machine's power, unless its BMC has just refused our
// password or not answered at all: it would do so again, and the operator would wait
// to be told. So it is with a machine that the site does not know, or no more.
func (p site[T]) unlessRefused(ctx context.Context, c *workflow.Call[T], undo func(context.Context, *workflow.Call[T]) error) error {
	if f := c.Run.Failure; f != nil && (f.Code == sprout.BMCDenied || f.Code == sprout.BMCUnreachable) {
		c.Detail("power is left as it is: %s", f.Reason)
		return p.clearIntent(ctx, c)
	}
	err := undo(ctx, c)
	if sprout.KindOf(err) == sprout.NotFound {
		c.Detail("power is left as it is: %v", err)
		return p.clearIntent(ctx, c)
	}
	return err
}

func (p site[T]) factPower(c *workflow.Call[T], id sprout.MachineID, s sprout.PowerState) error {
	return p.fact(c, sprout.Fact{Kind: sprout.FactPower, Machine: id}, s)
}

// factBMC tells what the machine's BMC has told of itself.
func (p site[T]) factBMC(ctx context.Context, c *workflow.Call[T], id sprout.MachineID, about sprout.BMCAbout) error {
	if about.None() {
		return nil
	}
	m, err := p.Machine(ctx, id)
	if err != nil || m.BMC == nil {
		return err
	}
	return p.fact(c, sprout.Fact{Kind: sprout.FactBMC, Machine: id}, sprout.BMCFact{URL: m.BMC.URL, BMCAbout: about})
}

// fact adds a fact about this run to the outbox when the step is saved.
func (p site[T]) fact(c *workflow.Call[T], f sprout.Fact, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("cannot encode a %s fact: %w", f.Kind, err)
	}
	f.Work, f.Body = c.Run.ID, raw
	c.Commit(func(ctx context.Context, tx T) error { return p.Report(ctx, tx, f) })
	return nil
}

// onMove reports every step record that is new or has changed.
func (p site[T]) onMove(ctx context.Context, tx T, before, after workflow.Run) error {
	id, err := MachineOf(after)
	if err != nil {
		return err
	}
	for i, rec := range after.Steps {
		if i < len(before.Steps) && before.Steps[i].Outcome == rec.Outcome && before.Steps[i].Detail == rec.Detail {
			continue
		}
		raw, err := json.Marshal(rec)
		if err != nil {
			return fmt.Errorf("cannot encode a step record: %w", err)
		}
		f := sprout.Fact{Kind: sprout.FactStep, Machine: id, Work: after.ID, Body: raw}
		if err := p.Report(ctx, tx, f); err != nil {
			return err
		}
	}
	return nil
}

// onEnd tells the centre how the work ended.
func (p site[T]) onEnd(ctx context.Context, tx T, run workflow.Run) error {
	id, err := MachineOf(run)
	if err != nil {
		return err
	}
	var data siteData
	if len(run.Data) > 0 {
		if err := json.Unmarshal(run.Data, &data); err != nil {
			return fmt.Errorf("cannot read what %s left: %w", run.ID, err)
		}
	}
	raw, err := json.Marshal(sprout.WorkResult{State: run.State, Failure: run.Failure, Taken: data.Taken, Shell: data.Shell})
	if err != nil {
		return fmt.Errorf("cannot encode a work result: %w", err)
	}
	return p.Report(ctx, tx, sprout.Fact{Kind: sprout.FactWorkEnded, Machine: id, Work: run.ID, Body: raw})
}
