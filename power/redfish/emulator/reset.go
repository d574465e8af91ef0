package emulator

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
	"time"
)

// resets is what each ResetType does to a machine.
var resets = []struct {
	name string
	do   func(ctx context.Context, b *BMC) error
}{
	{"On", func(ctx context.Context, b *BMC) error { return b.powerOn(ctx) }},
	{"ForceOff", func(ctx context.Context, b *BMC) error { return b.machine.PowerOff(ctx) }},
	{"GracefulShutdown", func(ctx context.Context, b *BMC) error { return b.machine.Shutdown(ctx) }},
	{"ForceRestart", restart},
	{"PowerCycle", restart},
}

func resetTypes() []string {
	var names []string
	for _, r := range resets {
		names = append(names, r.name)
	}
	return names
}

func restart(ctx context.Context, b *BMC) error {
	if err := b.machine.PowerOff(ctx); err != nil {
		return err
	}
	return b.powerOn(ctx)
}

// powerOn starts a machine that is off; the override is used up by it.
func (b *BMC) powerOn(ctx context.Context) error {
	if powerNames[b.machine.Power()] == "On" {
		return nil
	}
	return b.machine.PowerOn(ctx, b.TakeBoot())
}

// A task is a reset that was accepted and runs on.
type task struct {
	ended chan struct{}
	err   error // read only after ended
}

func (b *BMC) postReset(w http.ResponseWriter, r *http.Request) {
	var body struct{ ResetType string }
	if !decode(w, r, &body) {
		return
	}
	i := slices.Index(resetTypes(), body.ResetType)
	if i < 0 {
		refuse(w, http.StatusBadRequest, "ActionParameterNotSupported",
			"The value "+body.ResetType+" for ResetType is not one of "+strings.Join(resetTypes(), ", ")+".")
		return
	}
	b.mu.Lock()
	faults := b.faults
	b.mu.Unlock()
	b.log.Info("reset", "type", body.ResetType)
	b.lateFrom(powerNames[b.machine.Power()])
	switch {
	case faults.IgnoreReset:
		w.WriteHeader(http.StatusNoContent)
	case faults.SlowReset > 0:
		b.accept(w, faults.SlowReset, resets[i].do)
	default:
		// A command that was given is carried out also when its giver leaves.
		if err := resets[i].do(context.WithoutCancel(r.Context()), b); err != nil {
			refuse(w, http.StatusInternalServerError, "InternalError", err.Error())
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

// accept answers 202 and carries the reset out after a while.
func (b *BMC) accept(w http.ResponseWriter, after time.Duration, do func(context.Context, *BMC) error) {
	id, t := rand.Text()[:10], &task{ended: make(chan struct{})}
	b.mu.Lock()
	b.tasks[id] = t
	b.mu.Unlock()
	b.work.Go(func() {
		defer close(t.ended)
		<-time.After(after)
		t.err = do(context.Background(), b)
	})
	at := base + "/TaskService/Tasks/" + id
	if b.Faults().TaskInBody {
		reply(w, http.StatusAccepted, object{"@odata.type": "#Task.v1_4_3.Task", "@odata.id": at, "Id": id, "Name": "Reset", "TaskState": "New"})
		return
	}
	w.Header().Set("Location", at)
	w.WriteHeader(http.StatusAccepted)
}

func (b *BMC) getTaskService(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, object{
		"@odata.type": "#TaskService.v1_1_3.TaskService", "@odata.id": base + "/TaskService", "Id": "TaskService", "Name": "Tasks",
		"ServiceEnabled": true, "Status": object{"State": "Enabled", "Health": "OK"}, "Tasks": link("/TaskService/Tasks"),
	})
}

func (b *BMC) getTasks(w http.ResponseWriter, _ *http.Request) {
	b.mu.Lock()
	var paths []string
	for id := range b.tasks {
		paths = append(paths, "/TaskService/Tasks/"+id)
	}
	b.mu.Unlock()
	slices.Sort(paths)
	reply(w, http.StatusOK, members("/TaskService/Tasks", "Task", paths...))
}

func (b *BMC) getTask(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("task")
	b.mu.Lock()
	t := b.tasks[id]
	b.mu.Unlock()
	if t == nil {
		refuse(w, http.StatusNotFound, "ResourceMissingAtURI", "There is no task "+id+".")
		return
	}
	status, state, messages := http.StatusAccepted, "Running", []object{}
	select {
	case <-t.ended:
		status, state = http.StatusOK, "Completed"
		if t.err != nil {
			state, messages = "Exception", []object{{"Message": t.err.Error()}}
		}
	default:
	}
	reply(w, status, object{
		"@odata.type": "#Task.v1_4_3.Task", "@odata.id": base + "/TaskService/Tasks/" + id,
		"Id": id, "Name": "Reset", "TaskState": state, "Messages": messages,
	})
}
