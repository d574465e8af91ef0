package workflowtest_test

import (
	"context"
	"testing"
	"time"

	"sprout"
	"sprout/workflow"
	"sprout/workflow/workflowtest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	workflowtest.RunStore(t, func(t *testing.T) workflowtest.StoreCase[*workflowtest.Tx] {
		memory := workflowtest.NewMemory()
		return workflowtest.StoreCase[*workflowtest.Tx]{
			Store: memory,
			Write: func(_ context.Context, tx *workflowtest.Tx, name string) error {
				tx.Put(name, "written")
				return nil
			},
			Wrote: func(t *testing.T, name string) bool {
				_, ok := memory.Values()[name]
				return ok
			},
		}
	})
}

// A house is a world with what a definition can touch: things outside of any
// transaction, and values inside.
type house struct {
	store *workflowtest.Memory
	lamps map[string]bool
}

type memory struct {
	Sent bool `json:"sent"`
}

// definition has a plain step, one that waits for a signal, one that polls and
// retries, one with an effect only, and one with nothing to undo.
func (h *house) definition() workflow.Definition[*workflowtest.Tx] {
	type call = workflow.Call[*workflowtest.Tx]
	polls := 0
	return workflow.Definition[*workflowtest.Tx]{Kind: "light", At: "site", Steps: []workflow.Step[*workflowtest.Tx]{
		{Name: "lamp", Timeout: time.Minute, Do: func(context.Context, *call) error {
			h.lamps["one"] = true
			return nil
		}, Undo: func(context.Context, *call) error {
			delete(h.lamps, "one")
			return nil
		}},
		{Name: "order", Timeout: time.Hour, Do: func(_ context.Context, c *call) error {
			if _, ok := c.Take("delivered"); ok {
				return nil
			}
			h.lamps["two"] = true
			if err := c.Keep(memory{Sent: true}); err != nil {
				return err
			}
			return workflow.WaitFor("delivered", time.Minute, "the delivery")
		}, Undo: func(context.Context, *call) error {
			delete(h.lamps, "two")
			return nil
		}},
		{Name: "look", Timeout: time.Minute, Attempts: 3, Do: func(_ context.Context, c *call) error {
			if polls++; polls%3 != 0 {
				return workflow.AgainAfter(time.Second, "the lamp to warm up")
			}
			return nil
		}},
		{Name: "note", Timeout: time.Minute, Do: func(_ context.Context, c *call) error {
			c.Commit(func(_ context.Context, tx *workflowtest.Tx) error { tx.Put("lit", "yes"); return nil })
			return nil
		}, Undo: func(_ context.Context, c *call) error {
			c.Commit(func(_ context.Context, tx *workflowtest.Tx) error { tx.Delete("lit"); return nil })
			return nil
		}},
		{Name: "look-again", Timeout: time.Minute, Do: func(context.Context, *call) error { return nil }},
	}}
}

func TestFailEach(t *testing.T) {
	workflowtest.FailEach(t, func(t *testing.T) workflowtest.Case[*workflowtest.Tx] {
		h := &house{store: workflowtest.NewMemory(), lamps: map[string]bool{}}
		return workflowtest.Case[*workflowtest.Tx]{
			Definition: h.definition(),
			Store:      h.store,
			Input:      map[string]string{"room": "kitchen"},
			Drive: func(t *testing.T, e *workflow.Engine[*workflowtest.Tx], run workflow.Run) {
				if run.WaitSignal == "" {
					return
				}
				if err := e.Signal(t.Context(), run.ID, run.WaitSignal, nil); err != nil {
					t.Error(err)
				}
			},
			Check: func(t *testing.T, run workflow.Run) {
				lit := h.store.Values()["lit"] == "yes"
				if run.State == sprout.Succeeded && (!lit || len(h.lamps) != 2) {
					t.Errorf("not all is done: lamps %v, lit %v", h.lamps, lit)
				}
				if run.State != sprout.Succeeded && (lit || len(h.lamps) != 0) {
					t.Errorf("something is left: lamps %v, lit %v", h.lamps, lit)
				}
			},
		}
	})
}
