package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

// drawEvery is how often a terminal is drawn anew at most.
const drawEvery = 150 * time.Millisecond

// A followed is what a command shows and keeps up with.
type followed[T any] struct {
	In   api.WatchEvents                        // which events are about it
	Load func(ctx context.Context) ([]T, error) // what there is
	ID   func(T) string
	Keep func(T) bool // whether it still is what was asked for; nil: always

	Columns []column[T]   // of a list
	Show    func(*env, T) // of one thing, in place of columns
	None    string        // said where there is nothing
}

// follow shows things and what becomes of them, until ctx ends. A terminal is
// drawn anew; elsewhere a line is added for each that looks otherwise than
// before. Programs get the events themselves, one a line.
func follow[T any](ctx context.Context, e *env, f followed[T]) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.In.Resource = true
	type told struct {
		event sprout.WatchEvent
		err   error
	}
	events := make(chan told)
	go func() {
		defer close(events)
		for event, err := range c.Watch(ctx, f.In) {
			select {
			case events <- told{event, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	v := &view[T]{env: e, followed: f, rows: map[string]string{}}
	var draw <-chan time.Time
	for {
		select {
		case now, more := <-events:
			if !more {
				return nil // ctx has ended
			}
			if now.err == nil {
				now.err = v.take(ctx, now.event)
			}
			if ctx.Err() != nil {
				return nil
			}
			if now.err != nil {
				return now.err
			}
			if draw == nil {
				draw = time.After(v.patience())
			}
		case <-draw:
			draw = nil
			v.draw()
		}
	}
}

// A view is what a followed looks like now. It does not embed env: each T would have
// all of its methods compiled anew.
type view[T any] struct {
	env *env
	followed[T]
	items  []T
	loaded bool              // once
	rows   map[string]string // as they were printed, by id
	widths []int
	page   string
}

// patience is how long events gather before they are shown: on a terminal only.
func (v *view[T]) patience() time.Duration {
	if isTerminal(v.env.stdout) {
		return drawEvery
	}
	return 0
}

// take brings the view up to date with an event.
func (v *view[T]) take(ctx context.Context, event sprout.WatchEvent) error {
	switch event.What {
	case sprout.Opened, sprout.Reset:
		if v.env.machineReadable() {
			return v.env.answerEvent(event)
		}
		return v.load(ctx)
	case sprout.WasDeleted:
		if v.env.machineReadable() {
			return v.env.answerEvent(event)
		}
		v.items = slices.DeleteFunc(v.items, func(item T) bool { return v.ID(item) == event.Subject })
	case sprout.WasCreated, sprout.WasChanged, sprout.Progresses, sprout.Resume:
		var now T
		if event.Resource == nil { // gone since: that is told too
			return nil
		}
		if err := json.Unmarshal(event.Resource, &now); err != nil {
			return fmt.Errorf("cannot read what is told of %s: %w", event.Subject, err)
		}
		if !v.env.machineReadable() {
			v.put(now)
		} else if v.Keep == nil || v.Keep(now) {
			return v.env.answerEvent(event)
		}
	}
	return nil
}

// load lists anew. A control plane that went away since is waited for.
func (v *view[T]) load(ctx context.Context) error {
	for {
		items, err := v.Load(ctx)
		if err == nil || sprout.KindOf(err) != sprout.Unavailable || !v.loaded {
			v.items, v.loaded = items, true
			return err
		}
		if err := sprout.Pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

func (v *view[T]) put(now T) {
	at := slices.IndexFunc(v.items, func(item T) bool { return v.ID(item) == v.ID(now) })
	kept := v.Keep == nil || v.Keep(now)
	switch {
	case at >= 0 && kept:
		v.items[at] = now
	case at >= 0:
		v.items = slices.Delete(v.items, at, at+1)
	case kept:
		v.items = append(v.items, now)
	}
}

// answerEvent prints an event for programs: a line of JSON, a document of YAML,
// or what jq makes of it.
func (e *env) answerEvent(event any) error {
	if e.jq != "" {
		return e.answerJQ(event)
	}
	if e.format == "yaml" {
		fmt.Fprintln(e.stdout, "---")
		return e.answer(event, nil)
	}
	raw, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("cannot print JSON: %w", err)
	}
	fmt.Fprintf(e.stdout, "%s\n", raw)
	return nil
}

// draw shows what has changed since it was drawn last.
func (v *view[T]) draw() {
	switch {
	case v.env.machineReadable():
	case v.Show == nil && !isTerminal(v.env.stdout):
		v.addRows()
	default:
		var page bytes.Buffer
		to := *v.env
		to.columns, to.stdout, to.stderr = v.env.width(), &page, &page
		v.drawPage(&to)
		if page.String() != v.page {
			v.env.turn(v.page == "", page.String())
			v.page = page.String()
		}
	}
}

func (v *view[T]) drawPage(to *env) {
	switch {
	case len(v.items) == 0:
		fmt.Fprintln(to.stdout, v.None)
	case v.Show != nil:
		v.Show(to, v.items[0])
	default:
		writeTable(to, v.items, v.Columns)
	}
}

// addRows prints the rows that are not as they were printed last, and says which
// are no longer there.
func (v *view[T]) addRows() {
	if v.widths == nil {
		v.widths = make([]int, len(v.Columns))
		for _, item := range v.items {
			v.measure(func(c column[T]) string { return dash(c.Value(item)) })
		}
		fmt.Fprintln(v.env.stdout, v.row(func(c column[T]) string { return c.Name }))
	}
	there := map[string]bool{}
	for _, item := range v.items {
		id, row := v.ID(item), v.row(func(c column[T]) string { return dash(c.Value(item)) })
		there[id] = true
		if v.rows[id] != row {
			v.rows[id] = row
			fmt.Fprintln(v.env.stdout, row)
		}
	}
	for id, row := range v.rows {
		if !there[id] {
			delete(v.rows, id)
			fmt.Fprintln(v.env.stdout, row+"  (no longer)")
		}
	}
}

func (v *view[T]) measure(cell func(column[T]) string) {
	for i, c := range v.Columns {
		v.widths[i] = max(v.widths[i], runewidth.StringWidth(c.Name), runewidth.StringWidth(cell(c)))
	}
}

// row writes one line; its columns are as wide as what was seen of them so far.
func (v *view[T]) row(cell func(column[T]) string) string {
	v.measure(cell)
	var words []string
	for i, c := range v.Columns {
		if !c.Wide || v.env.format == "wide" {
			words = append(words, runewidth.FillRight(cell(c), v.widths[i]))
		}
	}
	return strings.TrimRight(strings.Join(words, "  "), " ")
}

// loadOne makes a list of what shows one thing; what is gone is an empty one.
func loadOne[T any](show func(context.Context) (T, error)) func(context.Context) ([]T, error) {
	return func(ctx context.Context) ([]T, error) {
		one, err := show(ctx)
		if sprout.KindOf(err) == sprout.NotFound {
			return nil, nil
		}
		return []T{one}, err
	}
}

// watchFlag adds --watch.
func watchFlag(c *cobra.Command, watch *bool) {
	c.Flags().BoolVarP(watch, "watch", "w", false, "show what becomes of it, until interrupted")
}
