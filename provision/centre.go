package provision

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"sprout"
	"sprout/workflow"
)

// CentreDefinitions lists the workflows of the control plane.
func CentreDefinitions[T any](c Centre[T]) []workflow.Definition[T] {
	p := centre[T]{c}
	return []workflow.Definition[T]{p.commission(), p.deploy(), p.release(), p.rescue(), p.unrescue()}
}

type centre[T any] struct{ Centre[T] }

// centreData is what the steps of a centre's run leave for later ones.
type centreData struct {
	Work    string             `json:"work,omitempty"`    // the delegated work
	Limits  []sprout.StepLimit `json:"limits,omitempty"`  // of its steps
	Ended   bool               `json:"ended,omitempty"`   // the site said how it ended
	Stop    time.Time          `json:"stop,omitzero"`     // when its cancelling was queued
	Given   []sprout.Address   `json:"given,omitempty"`   // for what the network configuration wants, in its order
	Address *sprout.Address    `json:"address,omitempty"` // the only one, of runs that began before 0.3
	Name    string             `json:"name,omitempty"`    // of the machine, fully qualified
	Others  []string           `json:"others,omitempty"`  // why other addresses were taken each time, in words
	Shell   *sprout.Shell      `json:"shell,omitempty"`   // of a rescue
	Forced  string             `json:"forced,omitempty"`  // why the site is not waited for
	Undone  []string           `json:"undone,omitempty"`  // what it was to do, in words
}

// given lists the addresses that the run has reserved.
func (d centreData) given() []sprout.Address {
	if d.Address != nil {
		return []sprout.Address{*d.Address}
	}
	return d.Given
}

func (p centre[T]) commission() workflow.Definition[T] {
	return workflow.Definition[T]{Kind: Commission, At: "centre", OnEnd: p.onEnd, Steps: []workflow.Step[T]{
		{Name: "accept", Do: p.accept, Quick: true, Timeout: shortStep},
		{Name: "reserve-address", Do: p.reserveForMedia, Quick: true, Added: true, Undo: p.releaseForMedia, Timeout: shortStep, Attempts: 3},
		{Name: "commission-at-site", Do: p.atSite(Commission, commissionBy, p.commissionWork), Quick: true, Undo: p.cancelAtSite, Timeout: commissionBy},
		{Name: "release-address", Do: p.releaseForMedia, Quick: true, Added: true, Timeout: shortStep, Attempts: 3},
		{Name: "finish", Do: p.finishCommission, Quick: true, Timeout: shortStep},
	}}
}

func (p centre[T]) deploy() workflow.Definition[T] {
	return workflow.Definition[T]{Kind: Deploy, At: "centre", OnEnd: p.onEnd, Steps: []workflow.Step[T]{
		{Name: "reserve-address", Do: p.reserveAddress, Undo: p.releaseAddress, Timeout: shortStep, Attempts: 3},
		{Name: "publish-name", Do: p.publishName, Undo: p.withdrawName, Timeout: shortStep, Attempts: 3},
		{Name: "install-at-site", Do: p.atSite(Deploy, deployBy, p.deployWork), Quick: true, Undo: p.cancelAtSite, Timeout: deployBy},
		{Name: "finish", Do: p.finishDeploy, Quick: true, Timeout: shortStep},
	}}
}

func (p centre[T]) release() workflow.Definition[T] {
	return workflow.Definition[T]{Kind: Release, At: "centre", OnEnd: p.onEnd, Steps: []workflow.Step[T]{
		{Name: "reserve-address", Do: p.reserveForMedia, Quick: true, Added: true, Undo: p.undoReserveForMedia, Timeout: shortStep, Attempts: 3},
		{Name: "release-at-site", Do: p.releaseAtSite, Quick: true, Undo: p.cancelAtSite, Timeout: releaseBy},
		{Name: "withdraw-name", Do: p.withdrawName, Timeout: shortStep, Attempts: 3},
		{Name: "release-address", Do: p.releaseAddress, Timeout: shortStep, Attempts: 3},
		{Name: "finish", Do: p.finishRelease, Quick: true, Timeout: shortStep},
	}}
}

// machineOf returns the machine that the run is about.
func (p centre[T]) machineOf(ctx context.Context, run workflow.Run) (sprout.Machine, error) {
	id, err := MachineOf(run)
	if err != nil {
		return sprout.Machine{}, err
	}
	return p.Machine(ctx, id)
}

// MachineOf returns the id of the machine that a centre's or site's run is about.
func MachineOf(run workflow.Run) (sprout.MachineID, error) {
	var in struct {
		Machine sprout.MachineID `json:"machine"`
	}
	if err := json.Unmarshal(run.Input, &in); err != nil {
		return "", fmt.Errorf("cannot read the input of %s: %w", run.ID, err)
	}
	return in.Machine, nil
}

func cause(run workflow.Run) Cause {
	return Cause{Workflow: sprout.WorkflowID(run.ID), Kind: run.Kind, Step: run.StepName}
}

func (p centre[T]) accept(ctx context.Context, c *workflow.Call[T]) error {
	m, err := p.machineOf(ctx, c.Run)
	if err != nil {
		return err
	}
	if m.State != sprout.Discovered {
		c.Detail("already %s", m.State)
		return nil
	}
	c.Commit(func(ctx context.Context, tx T) error {
		return p.Move(ctx, tx, m.ID, sprout.Accept, cause(c.Run), sprout.Image{})
	})
	return nil
}

func (p centre[T]) finishCommission(_ context.Context, c *workflow.Call[T]) error {
	var in CommissionInput
	if err := c.Input(&in); err != nil {
		return err
	}
	why := ""
	if in.SkipTests {
		why = cmp.Or(in.SkipReason, "on request")
		c.Detail("hardware tests were skipped: %s", why)
	}
	c.Commit(func(ctx context.Context, tx T) error {
		if err := p.SkippedTests(ctx, tx, in.Machine, why); err != nil {
			return err
		}
		return p.Move(ctx, tx, in.Machine, sprout.Commissioned, cause(c.Run), sprout.Image{})
	})
	return nil
}

func (p centre[T]) finishDeploy(_ context.Context, c *workflow.Call[T]) error {
	var in DeployInput
	if err := c.Input(&in); err != nil {
		return err
	}
	c.Commit(func(ctx context.Context, tx T) error {
		return p.Move(ctx, tx, in.Machine, sprout.Installed, cause(c.Run), in.Image)
	})
	return nil
}

func (p centre[T]) finishRelease(ctx context.Context, c *workflow.Call[T]) error {
	var in ReleaseInput
	if err := c.Input(&in); err != nil {
		return err
	}
	m, err := p.machineOf(ctx, c.Run)
	if err != nil {
		return err
	}
	var data centreData
	if err := c.Data(&data); err != nil {
		return err
	}
	event := sprout.Released
	if data.Forced != "" {
		event = sprout.LeftBehind
		c.Detail("not done: %s", strings.Join(data.Undone, "; "))
	}
	if _, err := sprout.Next(m.State, event); err != nil {
		event = sprout.Emptied // nobody has it
	}
	c.Commit(func(ctx context.Context, tx T) error {
		if err := p.Move(ctx, tx, in.Machine, event, cause(c.Run), sprout.Image{}); err != nil || data.Forced == "" {
			return err
		}
		return p.Raise(ctx, tx, in.Machine, cause(c.Run), sprout.Failure{
			Code: sprout.DisksNotErased, Reason: fmt.Sprintf("released by force (%s)", data.Forced), Evidence: "not done: " + strings.Join(data.Undone, "; "),
		})
	})
	return nil
}

// onEnd turns the end of a run into the machine's problems: a success clears
// them, a failure raises its own. Bad hardware sets the machine aside.
func (p centre[T]) onEnd(ctx context.Context, tx T, run workflow.Run) error {
	id, err := MachineOf(run)
	if err != nil {
		return err
	}
	switch {
	case run.State == sprout.Succeeded:
		err = p.Clear(ctx, tx, id, endedBy(run)...)
	case run.State == sprout.FailedRun && run.Failure != nil:
		err = p.Raise(ctx, tx, id, cause(run), *run.Failure)
		if err == nil && run.Failure.Code == sprout.TestFailed {
			err = p.Move(ctx, tx, id, sprout.TestsFailed, cause(run), sprout.Image{})
		}
	}
	if err != nil {
		return err
	}
	return p.Ended(ctx, tx, cause(run), id, run.State, run.Failure)
}

// endedBy names what else a run that succeeded has put right: an erase that was
// not forced has emptied the disks.
func endedBy(run workflow.Run) (codes []sprout.Code) {
	var in ReleaseInput
	var data centreData
	if run.Kind != Release || json.Unmarshal(run.Input, &in) != nil || len(run.Data) > 0 && json.Unmarshal(run.Data, &data) != nil {
		return nil
	}
	if in.Erase && data.Forced == "" {
		codes = append(codes, sprout.DisksNotErased)
	}
	return codes
}

// failureOf returns the failure in err, nil where it is none.
func failureOf(err error) *sprout.Failure {
	var f *sprout.Failure
	if errors.As(err, &f) {
		return f
	}
	return nil
}

// since writes the time since t for people.
func since[T any](c *workflow.Call[T], t time.Time) string {
	return c.Now.Sub(t).Round(time.Second).String()
}
