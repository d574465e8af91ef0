package workflowtest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"sprout"
	"sprout/workflow"
)

// A MemoryOf keeps runs in memory, one transaction at a time. Begin makes a
// transaction; its end is called with whether it commits.
type MemoryOf[T any] struct {
	begin func() (tx T, end func(commit bool))

	mu   sync.Mutex
	runs map[string]json.RawMessage
}

// NewMemoryOf makes an empty store with transactions of the caller's kind.
func NewMemoryOf[T any](begin func() (tx T, end func(commit bool))) *MemoryOf[T] {
	return &MemoryOf[T]{begin: begin, runs: map[string]json.RawMessage{}}
}

// Get implements workflow.Store.
func (m *MemoryOf[T]) Get(ctx context.Context, id string) (workflow.Run, error) {
	if err := ctx.Err(); err != nil {
		return workflow.Run{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.get(id)
}

func (m *MemoryOf[T]) get(id string) (workflow.Run, error) {
	raw, ok := m.runs[id]
	if !ok {
		return workflow.Run{}, sprout.Errorf(sprout.NotFound, "cannot find workflow %s", id)
	}
	var run workflow.Run
	if err := json.Unmarshal(raw, &run); err != nil {
		return run, fmt.Errorf("cannot read workflow %s: %w", id, err)
	}
	return run, nil
}

// Create implements workflow.Store.
func (m *MemoryOf[T]) Create(ctx context.Context, run workflow.Run, effects ...workflow.Effect[T]) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.runs[run.ID]; ok {
		return sprout.Errorf(sprout.Conflict, "cannot create workflow %s: it exists", run.ID)
	}
	run.Version = 1
	return m.put(ctx, run, effects)
}

// Save implements workflow.Store.
func (m *MemoryOf[T]) Save(ctx context.Context, run workflow.Run, effects ...workflow.Effect[T]) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	stored, err := m.get(run.ID)
	if err != nil {
		return err
	}
	if stored.Version != run.Version {
		return sprout.Errorf(sprout.Conflict, "cannot save workflow %s: another saved it first", run.ID)
	}
	run.Version++
	return m.put(ctx, run, effects)
}

func (m *MemoryOf[T]) put(ctx context.Context, run workflow.Run, effects []workflow.Effect[T]) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	raw, err := json.Marshal(run)
	if err != nil {
		return fmt.Errorf("cannot write workflow %s: %w", run.ID, err)
	}
	tx, end := m.begin()
	for _, effect := range effects {
		if err := effect(ctx, tx); err != nil {
			end(false)
			return err
		}
	}
	m.runs[run.ID] = raw
	end(true)
	return nil
}

// Memory is a MemoryOf whose transactions write keys and values, and note what
// happened.
type Memory struct {
	*MemoryOf[*Tx]

	mu     sync.Mutex
	values map[string]string
	notes  []string
}

// NewMemory makes an empty one.
func NewMemory() *Memory {
	m := &Memory{values: map[string]string{}}
	m.MemoryOf = NewMemoryOf(m.begin)
	return m
}

func (m *Memory) begin() (*Tx, func(bool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	tx := &Tx{values: maps.Clone(m.values), notes: slices.Clone(m.notes)}
	return tx, func(commit bool) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if commit {
			m.values, m.notes = tx.values, tx.notes
		}
	}
}

// Values are the committed values.
func (m *Memory) Values() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.values)
}

// Notes are the committed notes, oldest first.
func (m *Memory) Notes() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.notes)
}

// A Tx is a transaction of a Memory.
type Tx struct {
	values map[string]string
	notes  []string
}

// Put sets a value.
func (tx *Tx) Put(key, value string) { tx.values[key] = value }

// Delete removes a value; a missing one is no error.
func (tx *Tx) Delete(key string) { delete(tx.values, key) }

// Get returns a value.
func (tx *Tx) Get(key string) (value string, ok bool) {
	value, ok = tx.values[key]
	return value, ok
}

// Note adds a line to the notes.
func (tx *Tx) Note(format string, args ...any) {
	tx.notes = append(tx.notes, fmt.Sprintf(format, args...))
}
