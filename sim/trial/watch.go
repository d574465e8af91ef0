package trial

import (
	"context"
	"maps"
	"slices"
	"sync"

	"sprout"
	"sprout/api"
	"sprout/client"
)

// A watch hears from the control plane, for all who wait, what has been
// discovered and which workflows have ended: one stream for many machines. Who
// measures must not be what is measured, so it asks nothing again and again.
type watch struct {
	client *client.Client

	mu       sync.Mutex
	machines map[string]chan sprout.MachineID    // who waits for a machine, by the name that it is discovered with
	runs     map[sprout.WorkflowID]chan struct{} // closed once a workflow has ended
	ended    map[sprout.WorkflowID]bool          // those that nobody had asked for when they did
}

func newWatch(c *client.Client) *watch {
	return &watch{client: c, machines: map[string]chan sprout.MachineID{}, runs: map[sprout.WorkflowID]chan struct{}{}, ended: map[sprout.WorkflowID]bool{}}
}

// discovered yields the machine once it is known by the name.
func (w *watch) discovered(name string) <-chan sprout.MachineID {
	found := make(chan sprout.MachineID, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.machines[name] = found
	return found
}

func (w *watch) forget(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.machines, name)
}

// workflow waits until the workflow has ended and returns it.
func (w *watch) workflow(ctx context.Context, id sprout.WorkflowID) (sprout.Workflow, error) {
	for {
		select {
		case <-w.end(id):
		case <-ctx.Done():
			return sprout.Workflow{}, ctx.Err()
		}
		now, err := client.Call(ctx, w.client, api.WorkflowShow, api.ShowWorkflow{WorkflowRef: api.WorkflowRef{Workflow: string(id)}})
		if err != nil || now.State.Ended() {
			return now.Workflow, err
		}
	}
}

// end is closed once the workflow ends, or has before anybody asked.
func (w *watch) end(id sprout.WorkflowID) <-chan struct{} {
	ended := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended[id] {
		delete(w.ended, id)
		close(ended)
	} else {
		w.runs[id] = ended
	}
	return ended
}

// run listens until ctx ends. Nothing is asked for twice: where the stream
// begins anew, what was missed is looked up. The error is why nothing more is
// heard; then nobody who waits goes on.
func (w *watch) run(ctx context.Context) error {
	for e, err := range w.client.Watch(ctx, api.WatchEvents{Noun: []sprout.Noun{sprout.NounMachine, sprout.NounWorkflow}}) {
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case e.What == sprout.Opened || e.What == sprout.Reset:
			w.lookDiscovered(ctx)
			w.lookRuns()
		case e.Noun == sprout.NounMachine && e.What == sprout.WasCreated:
			w.found(e.Name, sprout.MachineID(e.Subject))
		case e.Noun == sprout.NounWorkflow && sprout.WorkflowState(e.State).Ended():
			w.tellEnded(sprout.WorkflowID(e.Subject))
		}
	}
	return nil
}

func (w *watch) found(name string, id sprout.MachineID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if found, ok := w.machines[name]; ok {
		found <- id
		delete(w.machines, name)
	}
}

func (w *watch) tellEnded(id sprout.WorkflowID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ended, ok := w.runs[id]; ok {
		delete(w.runs, id)
		close(ended)
	} else {
		w.ended[id] = true
	}
}

func (w *watch) lookDiscovered(ctx context.Context) {
	machines, err := client.List(ctx, w.client, api.MachineList, api.ListMachines{MachineMatch: api.MachineMatch{State: []sprout.State{sprout.Discovered}}}, 0)
	if err != nil {
		return // then the stream breaks too, and begins anew
	}
	for _, m := range machines {
		w.found(m.Name, m.ID)
	}
}

// lookRuns has all who wait for a workflow look at it.
func (w *watch) lookRuns() {
	w.mu.Lock()
	asked := slices.Collect(maps.Keys(w.runs))
	w.mu.Unlock()
	for _, id := range asked {
		w.tellEnded(id)
	}
}
