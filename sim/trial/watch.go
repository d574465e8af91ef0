package trial

import (
	"context"
	"maps"
	"sync"
	"time"

	"sprout"
	"sprout/api"
	"sprout/client"
)

// A watch asks the control plane, for all who wait, what has been discovered
// and which workflows still run: few questions for many machines.
type watch struct {
	client *client.Client

	mu       sync.Mutex
	machines map[string]chan sprout.MachineID    // who waits for a MAC to be discovered
	runs     map[sprout.WorkflowID]chan struct{} // closed once a workflow has ended
}

func newWatch(c *client.Client) *watch {
	return &watch{client: c, machines: map[string]chan sprout.MachineID{}, runs: map[sprout.WorkflowID]chan struct{}{}}
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
func (w *watch) workflow(ctx context.Context, id sprout.WorkflowID) (sprout.Workflow, error) {
	for {
		ended := make(chan struct{})
		w.mu.Lock()
		w.runs[id] = ended
		w.mu.Unlock()
		select {
		case <-ended:
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
	watchShare = 4                      // of the time that a round took, what passes until the next starts
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
		timer.Reset(max(watchEvery, min(watchShare*time.Since(began), 5*time.Second)))
	}
}

func (w *watch) lookDiscovered(ctx context.Context) {
	w.mu.Lock()
	idle := len(w.machines) == 0
	w.mu.Unlock()
	if idle {
		return
	}
	machines, err := client.List(ctx, w.client, api.MachineList, api.ListMachines{MachineMatch: api.MachineMatch{State: []sprout.State{sprout.Discovered}}}, 0)
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
	w.mu.Lock()
	asked := maps.Clone(w.runs)
	w.mu.Unlock()
	if len(asked) == 0 {
		return
	}
	for _, state := range []sprout.WorkflowState{sprout.Running, sprout.Unwinding} {
		moving, err := client.List(ctx, w.client, api.WorkflowList, api.ListWorkflows{State: []sprout.WorkflowState{state}}, 0)
		if err != nil {
			return // asked again soon
		}
		for _, m := range moving {
			delete(asked, m.ID)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, ended := range asked {
		if w.runs[id] == ended {
			delete(w.runs, id)
		}
		close(ended)
	}
}
