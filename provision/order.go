package provision

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"sprout"
	"sprout/workflow"
)

// awaitRamdisk waits until the ramdisk of this attempt says that it runs. An
// older attempt's hello moves nothing.
func (p site[T]) awaitRamdisk(ctx context.Context, c *workflow.Call[T]) error {
	id, data, err := p.state(c)
	if err != nil {
		return err
	}
	if data.Awake {
		c.Detail("%s, the ramdisk that waited", data.Mode)
		return nil
	}
	if payload, ok := c.Take(SignalHello); ok {
		var seen HelloSeen
		if err := json.Unmarshal(payload, &seen); err != nil {
			return fmt.Errorf("cannot read a ramdisk's hello: %w", err)
		}
		if seen.Attempt == data.Attempt {
			data.Mode, data.Boot = seen.Hello.BootMode, seen.Hello.Boot
			c.Detail("%s, ramdisk %s", data.Mode, seen.Hello.Version)
			return c.Keep(data)
		}
	}
	if c.Now.After(c.Run.StepDeadline.Add(-4 * p.limits.Look)) {
		return p.diagnosed(ctx, c, id, data.Attempt, sprout.NoRamdisk, "the machine was powered on but no ramdisk reported in "+since(c, c.Run.StepStarted))
	}
	if err := p.powered(ctx, c, id); err != nil {
		return err
	}
	return workflow.WaitFor(SignalHello, 3*p.limits.Look, "the ramdisk to report")
}

// diagnosed makes the failure of a boot that was not heard of in time: with the
// cause where the site can tell it, else with the code alone.
func (p site[T]) diagnosed(ctx context.Context, c *workflow.Call[T], id sprout.MachineID, attempt sprout.AttemptID, code sprout.Code, reason string) error {
	f := sprout.Fail(code, reason, "boot attempt "+string(attempt))
	cause, ok := p.Diagnose(ctx, id, attempt, c.Run.StepName)
	if !ok {
		return f
	}
	f.Code, f.Reason = cause.Code, reason+": "+cause.Reason
	if cause.Evidence != "" {
		f.Evidence += ": " + cause.Evidence
	}
	return f
}

// powered fails with PowerLost where the BMC says that the machine is off. A
// BMC that does not answer proves nothing.
func (p site[T]) powered(ctx context.Context, c *workflow.Call[T], id sprout.MachineID) error {
	bmc, err := p.Power(ctx, id)
	if err != nil {
		return nil // proves nothing: the wait goes on
	}
	state, err := bmc.Status(ctx)
	if err == nil && state == sprout.PowerOff {
		return sprout.Fail(sprout.PowerLost, "the machine lost power during "+c.Run.StepName, "its BMC says off")
	}
	return nil
}

// order gives an order once and waits for its report, which it returns when
// the ramdisk says done. A ramdisk that falls silent is a failure with a cause.
func (p site[T]) order(ctx context.Context, c *workflow.Call[T], o sprout.Order) (sprout.Report, error) {
	id, data, err := p.state(c)
	if err != nil {
		return sprout.Report{}, err
	}
	o.ID = orderID(data.Attempt, c.Run.StepName)
	if report, ok := p.done(c, o.ID); ok {
		if report.Outcome == "failed" {
			return report, reported(report)
		}
		return report, nil
	}
	if err := p.ordered(ctx, c, id, data, o); err != nil {
		return sprout.Report{}, err
	}
	words := "the ramdisk to " + string(o.Kind)
	if turn, _ := p.Turn(data.Attempt); turn.Waits { // it has lost its turn
		words = turn.String()
	}
	return sprout.Report{}, workflow.WaitFor(SignalOrderDone, p.limits.Look, words)
}

// orderID names the order of a step of an attempt.
func orderID(attempt sprout.AttemptID, step string) string {
	return fmt.Sprintf("%s/%s", attempt, step)
}

// ordered gives the order, once, or else sees that the ramdisk lives.
func (p site[T]) ordered(ctx context.Context, c *workflow.Call[T], id sprout.MachineID, data siteData, o sprout.Order) error {
	if data.Order == o.ID {
		return p.alive(ctx, c, id, data.Attempt)
	}
	data.Order = o.ID
	c.Commit(func(ctx context.Context, tx T) error { return p.Give(ctx, tx, data.Attempt, o) })
	return c.Keep(data)
}

func (p site[T]) done(c *workflow.Call[T], order string) (sprout.Report, bool) {
	payload, ok := c.Take(SignalOrderDone)
	if !ok {
		return sprout.Report{}, false
	}
	return reportOn(payload, order)
}

// reportOn is the report in a signal, if it is of the order.
func reportOn(payload json.RawMessage, order string) (report sprout.Report, ok bool) {
	err := json.Unmarshal(payload, &report)
	return report, err == nil && report.Order == order
}

func reported(r sprout.Report) error {
	if r.Failure != nil {
		return r.Failure
	}
	return sprout.Fail(sprout.InternalFailure, "the ramdisk failed and gave no reason", "order "+r.Order)
}

// alive fails when the ramdisk has been silent too long, with the reason that
// the BMC gives.
func (p site[T]) alive(ctx context.Context, c *workflow.Call[T], id sprout.MachineID, attempt sprout.AttemptID) error {
	last, ok := p.LastSeen(attempt)
	if !ok {
		last = c.Run.StepStarted
	}
	silent := c.Now.Sub(last)
	if silent > 2*p.limits.Look {
		if err := p.powered(ctx, c, id); err != nil {
			return err
		}
	}
	if silent > p.limits.Gone {
		return sprout.Fail(sprout.RamdiskSilent, fmt.Sprintf("the ramdisk has said nothing for %s during %s", since(c, last), c.Run.StepName), "the BMC does not say that the machine is off")
	}
	return nil
}

func (p site[T]) inspect(ctx context.Context, c *workflow.Call[T]) error {
	report, err := p.order(ctx, c, sprout.Order{Kind: sprout.OrderInspect})
	if err != nil {
		return err
	}
	if report.Inventory == nil {
		return sprout.Fail(sprout.InternalFailure, "the ramdisk reported no inventory", "order "+report.Order)
	}
	inv := report.Inventory
	c.Detail("%d cores, %d MiB, %d disks, %d interfaces", inv.CPU.Cores, inv.MemoryBytes>>20, len(inv.Disks), len(inv.Interfaces))
	id, _, err := p.state(c)
	if err != nil {
		return err
	}
	return p.fact(c, sprout.Fact{Kind: sprout.FactInventory, Machine: id}, inv)
}

func (p site[T]) testHardware(ctx context.Context, c *workflow.Call[T]) error {
	var in sprout.CommissionWork
	if err := workOf(c, &in); err != nil {
		return err
	}
	if in.SkipTests {
		c.Detail("skipped on request: %s", in.SkipReason)
		return nil
	}
	order := sprout.Order{Kind: sprout.OrderTest}
	if len(in.Tests) > 0 {
		order.Test = &sprout.TestOrder{Runs: in.Tests}
	}
	if len(in.Tests) > 0 {
		if err := p.noteRestart(c); err != nil {
			return err
		}
	}
	report, err := p.order(ctx, c, order)
	if f := failureOf(err); f != nil && len(in.Tests) > 0 && report.Outcome == "" {
		return p.startAgain(ctx, c, f)
	}
	if err != nil {
		return err
	}
	id, data, err := p.state(c)
	if err != nil {
		return err
	}
	report.Tests = append(report.Tests, restarts(data.Restarts)...)
	for _, t := range report.Tests {
		if t.Outcome == sprout.Failed {
			data.Failed = append(data.Failed, fmt.Sprintf("%s on %s: %s", t.Test, t.Device, t.Message))
		}
	}
	c.Detail("%d results, %d failed", len(report.Tests), len(data.Failed))
	if err := c.Keep(data); err != nil {
		return err
	}
	return p.fact(c, sprout.Fact{Kind: sprout.FactTests, Machine: id}, report.Tests)
}

// judgeTests is a step of its own so that the results are reported first.
func (p site[T]) judgeTests(_ context.Context, c *workflow.Call[T]) error {
	_, data, err := p.state(c)
	if err != nil {
		return err
	}
	if len(data.Failed) > 0 {
		return sprout.Fail(sprout.TestFailed, fmt.Sprintf("%d hardware tests failed", len(data.Failed)), strings.Join(data.Failed, "; "))
	}
	return nil
}

// blame tells whether bytes that do not match came from a bad copy at the site,
// which is removed so that a retry fetches it anew, or went bad on their way.
func (p site[T]) blame(ctx context.Context, f *sprout.Failure, digest string) {
	dropped, err := p.DropCorruptImage(ctx, digest)
	switch {
	case err != nil:
		f.Evidence += "; " + err.Error()
	case dropped:
		f.Evidence += "; the site's copy was bad and is dropped"
	default:
		f.Evidence += "; the site's copy is sound: the bytes went bad on their way to the machine"
	}
}

// takeTurn has the ramdisk ask for the image, and waits until it is its turn to
// download: what it takes of write-image's time is its own. An agent that was
// started anew knows no turns, and the machine that has the image asks no more:
// then its report says so.
func (p site[T]) takeTurn(ctx context.Context, c *workflow.Call[T]) error {
	order, _, err := p.writeOrder(c)
	if err != nil {
		return err
	}
	id, data, err := p.state(c)
	if err != nil {
		return err
	}
	if _, over := reportOn(c.Run.Signals[SignalOrderDone], order.ID); over {
		return nil
	}
	c.Take(SignalTurn)
	turn, asked := p.Turn(data.Attempt)
	if asked && !turn.Waits {
		if !data.Queued.IsZero() {
			c.Detail("its turn came after %s", c.Now.Sub(data.Queued).Round(time.Second))
		}
		return nil
	}
	if asked && data.Queued.IsZero() {
		data.Queued = c.Now
		if err := c.Keep(data); err != nil {
			return err
		}
	}
	if err := p.ordered(ctx, c, id, data, order); err != nil {
		return err
	}
	if asked {
		return workflow.AgainAfter(p.limits.Look, turn.String())
	}
	return workflow.AgainAfter(p.limits.Look, "the ramdisk to ask for the image")
}

// writeOrder is the order to write the image of the run's work.
func (p site[T]) writeOrder(c *workflow.Call[T]) (sprout.Order, sprout.DeployWork, error) {
	var in sprout.DeployWork
	if err := workOf(c, &in); err != nil {
		return sprout.Order{}, in, err
	}
	_, data, err := p.state(c)
	if err != nil {
		return sprout.Order{}, in, err
	}
	drive, err := configDrive(c.Run.ID, data, in)
	if err != nil {
		return sprout.Order{}, in, err
	}
	secret, err := sealedUserData(c, in)
	if in.Metadata.ByHTTP() {
		secret = nil // the system asks for it: the ramdisk needs none
	}
	kind := sprout.OrderWrite
	if in.Layout != nil {
		kind = sprout.OrderInstall
	}
	return sprout.Order{ID: orderID(data.Attempt, "write-image"), Kind: kind, Write: &sprout.Write{
		URL: "/images/" + in.Image.Digest, Image: in.Image, Disk: in.Rule(), Disks: in.Disks, ConfigDrive: drive, UserData: secret, Hostname: in.Hostname, Layout: in.Layout,
	}}, in, err
}

func (p site[T]) writeImage(ctx context.Context, c *workflow.Call[T]) error {
	order, in, err := p.writeOrder(c)
	if err != nil {
		return err
	}
	report, err := p.order(ctx, c, order)
	if f := failureOf(err); f != nil && f.Code == sprout.DigestMismatch {
		p.blame(ctx, f, in.Image.Digest)
	}
	if err != nil {
		return err
	}
	w := report.Written
	if w == nil || !w.Verified || w.RawDigest != in.Image.RawDigest {
		return sprout.Fail(sprout.VerifyFailed, "the ramdisk did not prove what it wrote", fmt.Sprintf("%+v", w))
	}
	on := fmt.Sprintf("%s (%s)", w.Disk.Name, w.Disk.Serial)
	for _, d := range w.Disks[min(1, len(w.Disks)):] {
		on += fmt.Sprintf(" and %s (%s)", d.Name, d.Serial)
	}
	c.Detail("%d MiB on %s, verified, %.0f s", w.RawBytes>>20, on, w.Seconds)
	return nil
}

// sealedUserData is the user data of the work as it came: only the ramdisk gets
// it opened.
func sealedUserData[T any](c *workflow.Call[T], in sprout.DeployWork) ([]byte, error) {
	var whole SiteInput
	if err := c.Input(&whole); err != nil || !in.Sealed {
		return nil, err
	}
	if len(whole.Work.Secret) == 0 {
		return nil, sprout.Fail(sprout.InternalFailure, "the user data did not come with the work", "work "+whole.Work.ID)
	}
	return whole.Work.Secret, nil
}

func (p site[T]) eraseDisks(ctx context.Context, c *workflow.Call[T]) error {
	var in sprout.ReleaseWork
	if err := workOf(c, &in); err != nil {
		return err
	}
	report, err := p.order(ctx, c, sprout.Order{Kind: sprout.OrderErase, Erase: &sprout.Erase{Method: in.Method}})
	if err != nil {
		return err
	}
	if len(report.Erased) == 0 {
		return sprout.Fail(sprout.EraseFailed, "the ramdisk erased no disk", "order "+report.Order)
	}
	var words []string
	var empty []sprout.Disk
	for _, e := range report.Erased {
		empty = append(empty, e.Disk)
		words = append(words, fmt.Sprintf("%s: %s, %d MiB read back empty (%s)", e.Disk.Name, e.Method, e.Verified>>20, sprout.EraseProof(e.Disk)))
	}
	if left := sprout.Beyond(in.Disks, empty); len(left) > 0 {
		return sprout.Fail(sprout.EraseFailed, fmt.Sprintf("disk %s (serial %q), which the plan named, was not erased: the machine does not show it any more", left[0].Name, left[0].Serial),
			"not erased:\n"+sprout.DescribeDisks(left)+"erased: "+strings.Join(words, "; ")+"\nwhere a disk was taken out, release the machine without an erase, commission it, and erase it then")
	}
	c.Detail("%s", strings.Join(words, "; "))
	return nil
}

// bootDisk has the ramdisk reboot, and the machine boot its disk. The intent is
// over before the ramdisk can see the order: a quick machine asks what to boot
// before the step has heard that it obeys. What comes next is seen by the
// phone-home, not assumed. A
// machine that lost power before its ramdisk could say so, and came back by
// itself, has booted its disk if the installed system has reported already.
func (p site[T]) bootDisk(ctx context.Context, c *workflow.Call[T]) error {
	id, data, err := p.state(c)
	if err != nil {
		return err
	}
	c.Commit(func(ctx context.Context, tx T) error { return p.BootDisk(ctx, tx, id) })
	if home(c.Run.Signals[SignalPhoneHome], data.Attempt) {
		c.Detail("the installed system runs already")
		if report, ok := p.done(c, orderID(data.Attempt, c.Run.StepName)); ok && report.Start != "" { // both are there
			c.Detail("%s", report.Start)
		}
	} else if report, err := p.order(ctx, c, sprout.Order{Kind: sprout.OrderReboot, Kexec: data.Awake}); err != nil {
		return err
	} else if report.Start != "" {
		c.Detail("%s", report.Start)
	}
	c.Commit(func(ctx context.Context, tx T) error { return p.ClearIntent(ctx, tx, id) })
	return nil
}

// home tells whether a phone-home is of the attempt.
func home(payload json.RawMessage, attempt sprout.AttemptID) bool {
	var seen HomeSeen
	return json.Unmarshal(payload, &seen) == nil && seen.Attempt == attempt
}

// awaitHome waits until the installed system says that it runs.
func (p site[T]) awaitHome(ctx context.Context, c *workflow.Call[T]) error {
	id, data, err := p.state(c)
	if err != nil {
		return err
	}
	if payload, ok := c.Take(SignalPhoneHome); ok && home(payload, data.Attempt) {
		c.Commit(func(ctx context.Context, tx T) error {
			if err := p.ClearIntent(ctx, tx, id); err != nil {
				return err
			}
			return p.EndAttempt(ctx, tx, id)
		})
		return nil
	}
	if c.Now.After(c.Run.StepDeadline.Add(-4 * p.limits.Look)) {
		return p.diagnosed(ctx, c, id, data.Attempt, sprout.NoPhoneHome, "the installed system has not reported in "+since(c, c.Run.StepStarted))
	}
	if err := p.powered(ctx, c, id); err != nil {
		return err
	}
	return workflow.WaitFor(SignalPhoneHome, 3*p.limits.Look, "the installed system to report")
}
