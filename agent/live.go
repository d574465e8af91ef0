package agent

import (
	"context"
	"reflect"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"sprout"
	"sprout/sitestore"
	"sprout/workflow"
)

// liveEvery is the shortest time between two words about one run.
const liveEvery = 500 * time.Millisecond

// live tells whoever watches what running work looks like, when it changed.
type live struct {
	site     *site
	mu       sync.Mutex
	dirty    map[string]bool         // by run id
	progress map[string]stepProgress // by run id
	said     map[string]sprout.Live  // by run id
}

// stepProgress is how far a step is.
type stepProgress struct {
	step string
	*sprout.Progress
}

func newLive(s *site) *live {
	return &live{site: s, dirty: map[string]bool{}, progress: map[string]stepProgress{}, said: map[string]sprout.Live{}}
}

// changed notes that a run was saved.
func (l *live) changed(run string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dirty[run] = true
}

// progressed notes how far the order of a run's step is.
func (l *live) progressed(run, step string, p *sprout.Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dirty[run], l.progress[run] = true, stepProgress{step, p}
}

func (l *live) run(ctx context.Context) error {
	return every(ctx, liveEvery, func() { l.say(ctx) })
}

func (l *live) say(ctx context.Context) {
	l.mu.Lock()
	dirty := l.dirty
	l.dirty = map[string]bool{}
	l.mu.Unlock()
	for id := range dirty {
		run, err := l.site.store.Get(ctx, id)
		if err != nil {
			continue // it is gone
		}
		if word, fresh := l.word(run); fresh {
			if err := l.site.bus.PublishLive(word); err != nil {
				l.site.log.Debug("live word lost", "run", id, "error", err)
			}
		}
	}
}

// word is what there is to say of a run, and whether it was not said yet.
func (l *live) word(run workflow.Run) (sprout.Live, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, said := l.said[run.ID]
	if run.State.Ended() {
		delete(l.said, run.ID)
		delete(l.progress, run.ID)
		return sprout.Live{}, false
	}
	word := sprout.Live{Work: run.ID, Step: run.StepName, Wait: run.Waits()}
	if p := l.progress[run.ID]; p.step == run.StepName || p.Progress != nil && p.Waits != "" { // the order of the step after take-turn
		word.Progress = p.Progress
	}
	l.said[run.ID] = word
	return word, !said || !reflect.DeepEqual(before, word)
}

// watched is the store of runs, telling of every save.
type watched struct {
	*sitestore.Store
	changed func(run string)
}

func (w watched) Create(ctx context.Context, run workflow.Run, effects ...workflow.Effect[*bbolt.Tx]) error {
	err := w.Store.Create(ctx, run, effects...)
	if err == nil {
		w.changed(run.ID)
	}
	return err
}

func (w watched) Save(ctx context.Context, run workflow.Run, effects ...workflow.Effect[*bbolt.Tx]) error {
	err := w.Store.Save(ctx, run, effects...)
	if err == nil {
		w.changed(run.ID)
	}
	return err
}
