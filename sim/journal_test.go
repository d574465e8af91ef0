package sim

import (
	"context"
	"testing"
)

// A machine that runs for months keeps a journal of bounded size, and whoever
// awaits it goes on counting from where it was.
func TestJournalForgets(t *testing.T) {
	m, err := New(Config{Spec: Spec{Name: "m1", MACs: []string{"52:54:00:00:00:01"}}})
	if err != nil {
		t.Fatal(err)
	}
	const n = 5*journalKeeps + 3
	for i := range n {
		m.note(StepIdle, "%d", i)
	}
	if kept := len(m.Journal()); kept < journalKeeps || kept > 2*journalKeeps {
		t.Fatalf("%d entries are kept", kept)
	}
	last := func(e Entry) bool { return e.Detail == "10002" }
	_, seen, err := m.Await(context.Background(), 7, last)
	if err != nil || seen != n {
		t.Fatalf("awaited up to %d, %v; want %d", seen, err, n)
	}
	m.note(StepUp, "after")
	e, seen, err := m.Await(context.Background(), seen, func(Entry) bool { return true })
	if err != nil || e.Step != StepUp || seen != n+1 {
		t.Fatalf("next is %v up to %d, %v", e, seen, err)
	}
}
