package trial

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sprout"
	"sprout/api"
	"sprout/client"
)

// A watch asks the control plane, for all who wait, what has been discovered
// and which workflows still run: few questions for many machines.
type watch struct {
	client *client.Client
	sites  []string

	mu       sync.Mutex
	machines map[string]chan sprout.MachineID // who waits for a MAC to be discovered
	runs     map[sprout.WorkflowID]*waiting   // who waits for a workflow to end
}

// A waiting is who waits for a workflow.
type waiting struct {
	site  string
	ended chan struct{}
}

func newWatch(c *client.Client, sites []string) *watch {
	return &watch{client: c, sites: sites, machines: map[string]chan sprout.MachineID{}, runs: map[sprout.WorkflowID]*waiting{}}
}

// discovered yields the machine once it is known.
func (w *watch) discovered(mac string) <-chan sprout.MachineID {
	found := make(chan sprout.MachineID, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.machines[mac] = found
	return found
}

func (w *watch) forget(mac string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.machines, mac)
}

// workflow waits until the workflow has ended and returns it.
func (w *watch) workflow(ctx context.Context, site string, id sprout.WorkflowID) (sprout.Workflow, error) {
	for {
		wait := &waiting{site: site, ended: make(chan struct{})}
		w.mu.Lock()
		w.runs[id] = wait
		w.mu.Unlock()
		select {
		case <-wait.ended:
		case <-ctx.Done():
			return sprout.Workflow{}, ctx.Err()
		}
		now, err := client.Call(ctx, w.client, api.WorkflowShow, api.ShowWorkflow{WorkflowRef: api.WorkflowRef{Workflow: string(id)}})
		if err != nil || now.State.Ended() {
			return now.Workflow, err
		}
	}
}

const (
	watchEvery = 500 * time.Millisecond // at least
	watchShare = 20                     // of the time that a round took, what passes until the next starts
)

// run asks until ctx ends. Rounds that take long come less often: who measures
// must not be what is measured.
func (w *watch) run(ctx context.Context) {
	timer := time.NewTimer(watchEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		began := time.Now()
		w.lookDiscovered(ctx)
		w.lookRuns(ctx)
		timer.Reset(max(watchEvery, min(watchShare*time.Since(began), 10*time.Second)))
	}
}

func (w *watch) lookDiscovered(ctx context.Context) {
	w.mu.Lock()
	idle := len(w.machines) == 0
	w.mu.Unlock()
	if idle {
		return
	}
	machines, err := client.Call(ctx, w.client, api.MachineList, api.ListMachines{State: sprout.Discovered})
	if err != nil {
		return // asked again soon
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range machines {
		for _, port := range m.Interfaces {
			if found, ok := w.machines[port.MAC]; ok {
				found <- m.ID
				delete(w.machines, port.MAC)
			}
		}
	}
}

// lookRuns wakes those whose workflow is not among those that still move.
func (w *watch) lookRuns(ctx context.Context) {
	asked := map[string]map[sprout.WorkflowID]*waiting{}
	w.mu.Lock()
	for id, wait := range w.runs {
		if asked[wait.site] == nil {
			asked[wait.site] = map[sprout.WorkflowID]*waiting{}
		}
		asked[wait.site][id] = wait
	}
	w.mu.Unlock()
	var sites errgroup.Group
	sites.SetLimit(4)
	for site, runs := range asked {
		sites.Go(func() error { return w.lookSite(ctx, site, runs) })
	}
	_ = sites.Wait() // asked again soon
}

func (w *watch) lookSite(ctx context.Context, site string, runs map[sprout.WorkflowID]*waiting) error {
	for _, state := range []sprout.WorkflowState{sprout.Running, sprout.Unwinding} {
		moving, err := client.Call(ctx, w.client, api.WorkflowList, api.ListWorkflows{OfSite: api.OfSite{Site: site}, State: state, Limit: 1000})
		if err != nil {
			return err
		}
		for _, m := range moving {
			delete(runs, m.ID)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, wait := range runs {
		if w.runs[id] == wait {
			delete(w.runs, id)
		}
		close(wait.ended)
	}
	return nil
}
