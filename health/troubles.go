package health

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"sprout"
)

// Troubles is the set of what is wrong now, one trouble a code. It is ready for
// use with a log, and safe for any number of goroutines.
type Troubles struct {
	Log *slog.Logger

	mu      sync.Mutex
	list    []sprout.Trouble
	changed chan struct{}
}

// Set says that code is wrong, or no longer: an empty reason. A reason and
// evidence that differ replace the old ones; since stays.
func (t *Troubles) Set(code sprout.Code, reason, evidence string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := slices.IndexFunc(t.list, func(old sprout.Trouble) bool { return old.Code == code })
	switch {
	case reason == "" && at < 0:
		return
	case reason == "":
		t.Log.Info("trouble is over", "code", code, "since", t.list[at].Since)
		t.list = slices.Delete(t.list, at, at+1)
	case at < 0:
		t.Log.Error("trouble", "code", code, "reason", reason, "evidence", evidence)
		t.list = append(t.list, sprout.Trouble{Code: code, Reason: reason, Evidence: evidence, Since: time.Now().UTC()})
		slices.SortFunc(t.list, func(a, b sprout.Trouble) int { return strings.Compare(string(a.Code), string(b.Code)) })
	case t.list[at].Reason == reason && t.list[at].Evidence == evidence:
		return
	default:
		t.list[at].Reason, t.list[at].Evidence = reason, evidence
	}
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// Has tells whether code is wrong now.
func (t *Troubles) Has(code sprout.Code) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.list, func(old sprout.Trouble) bool { return old.Code == code })
}

// List returns what is wrong now, by code, and a channel that is closed once
// that has changed.
func (t *Troubles) List() ([]sprout.Trouble, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.changed == nil {
		t.changed = make(chan struct{})
	}
	return slices.Clone(t.list), t.changed
}
