package server

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/alloc"
	"sprout/api"
	"sprout/audit"
	"sprout/store"
)

const (
	largestCrowd = 64 // asks that one transaction answers
	lanes        = 2  // transactions at once: while one waits for the disk, another works
	patience     = 5  // how often an ask is tried anew whose machine somebody else took
)

// A desk gives machines away. Those who ask at once share one reading of what is
// free and one transaction: the first to come answer themselves; who comes
// meanwhile waits, and the first of those answers all of them. So it needs no
// worker, and somebody alone waits for nobody. What it knows of the machines may
// be old: the store gives none that is not what it was when it was chosen.
type desk struct {
	store *store.Store
	shelf shelf

	mu        sync.Mutex
	answering int
	waiting   []*ask
}

// An ask is one machine that somebody wants, and what came of it.
type ask struct {
	sites  sprout.Sites
	want   alloc.Request
	owner  string
	record sprout.AuditRecord
	key    *store.RequestKey // nil: none, or another takes it

	got   sprout.Machine
	err   error
	over  bool // got or err is the answer
	leads bool // it answers itself and who waits
	done  chan struct{}
}

func (a *ask) answer(got sprout.Machine, err error) { a.got, a.err, a.over = got, err, true }

// ask answers one ask, with others or for others. errAlone: not with others; the
// key was not taken.
func (d *desk) ask(ctx context.Context, a *ask) (sprout.Machine, error) {
	a.done = make(chan struct{}, 1)
	if store.Joined(ctx) {
		d.answerAll(ctx, []*ask{a})
		return a.got, a.err
	}
	if !d.join(a) {
		select {
		case <-a.done: // answered, or it is our turn
		case <-ctx.Done():
			if !d.leave(a) {
				<-a.done // somebody answers it now, or leaves its turn to us
			}
			if !a.leads {
				return a.got, ctx.Err()
			}
		}
		if !a.leads {
			return a.got, a.err
		}
	}
	asks := d.gather(a)
	// Others wait for this answer too: who asked first may go, the work goes on.
	d.answerAll(context.WithoutCancel(ctx), asks)
	d.handOn(asks)
	return a.got, a.err
}

// join puts a in line; true if it must answer itself.
func (d *desk) join(a *ask) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.answering == lanes {
		d.waiting = append(d.waiting, a)
		return false
	}
	d.answering++
	return true
}

// leave takes a out of the line; false if it is not in it any more.
func (d *desk) leave(a *ask) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := slices.Index(d.waiting, a)
	if at < 0 {
		return false
	}
	d.waiting = slices.Delete(d.waiting, at, at+1)
	return true
}

// gather takes who is in line, a first.
func (d *desk) gather(a *ask) []*ask {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := min(len(d.waiting), largestCrowd-1)
	asks := append([]*ask{a}, d.waiting[:n]...)
	d.waiting = slices.Clone(d.waiting[n:])
	return asks
}

// handOn wakes who was answered, and has the next in line answer.
func (d *desk) handOn(asks []*ask) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, other := range asks[1:] {
		other.done <- struct{}{}
	}
	if len(d.waiting) == 0 {
		d.answering--
		return
	}
	next := d.waiting[0]
	d.waiting = d.waiting[1:]
	next.leads = true
	next.done <- struct{}{}
}

// answerAll answers each ask: by a machine, by why there is none, or where
// something failed for all of them by errAlone.
func (d *desk) answerAll(ctx context.Context, asks []*ask) {
	for range patience {
		left := slices.DeleteFunc(slices.Clone(asks), func(a *ask) bool { return a.over })
		if len(left) == 0 {
			return
		}
		if err := d.round(ctx, left); err != nil {
			for _, a := range left {
				if a.over {
					continue
				}
				if len(asks) > 1 {
					err = errAlone // one of them may be to blame, and not the others
				}
				a.answer(a.got, err)
			}
			return
		}
	}
	for _, a := range asks {
		if !a.over {
			a.answer(a.got, sprout.Errorf(sprout.Conflict, "cannot allocate: others took each machine that fitted").WithRemedy("try again"))
		}
	}
}

// round chooses a machine for each ask and gives away what it can; asks whose
// machine is no longer as it was are not over. Where there is nothing for an ask,
// that is by a reading since the round began.
func (d *desk) round(ctx context.Context, asks []*ask) error {
	began := time.Now()
	chosen := map[sprout.MachineID]*ask{}
	before := map[sprout.MachineID]sprout.Machine{}
	var none []*ask
	for _, a := range asks {
		m, found, err := d.shelf.take(ctx, d.store, a.sites, a.want, began)
		if err != nil {
			return err
		}
		if !found && a.key != nil {
			a.answer(a.got, errAlone) // the machine may have gone to the same request, sent before
			continue
		}
		if !found {
			none = append(none, a)
			continue
		}
		chosen[m.ID], before[m.ID] = a, m
	}
	defer func() { d.shelf.settle(before) }()
	if err := d.give(ctx, chosen, before); err != nil {
		return err
	}
	return d.explain(ctx, none)
}

// give is the transaction of a round.
func (d *desk) give(ctx context.Context, chosen map[sprout.MachineID]*ask, before map[sprout.MachineID]sprout.Machine) error {
	if len(chosen) == 0 {
		return nil
	}
	var given []sprout.Machine
	var lost []*ask // whose key somebody else has
	err := d.store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var keys []store.RequestKey
		lost = nil // the transaction may be tried anew
		for _, a := range chosen {
			if a.key != nil {
				keys = append(keys, *a.key)
			}
		}
		free, err := d.store.TakeKeys(ctx, tx, keys)
		if err != nil {
			return err
		}
		var gifts []store.Gift
		for id, a := range chosen {
			if a.key != nil && !free[string(a.key.ID)] {
				lost = append(lost, a)
				continue
			}
			if a.key != nil {
				delete(free, string(a.key.ID)) // the same request once more, in the same round, is told what came of this one
			}
			gifts = append(gifts, store.Gift{Machine: id, Revision: before[id].Rev, Owner: a.owner, Actor: a.record.Actor, Reason: "to " + a.owner})
		}
		if given, err = d.store.Give(ctx, tx, gifts); err != nil {
			return err
		}
		return d.note(ctx, tx, given, chosen, before)
	})
	if err != nil {
		return err
	}
	for _, a := range lost {
		a.answer(a.got, errAlone)
	}
	for _, m := range given {
		chosen[m.ID].answer(m, nil)
	}
	if len(given)+len(lost) < len(chosen) {
		d.shelf.forget()
	}
	return nil
}

// note writes the audit records of what was given, and the answers of requests
// that bear a key.
func (d *desk) note(ctx context.Context, tx pgx.Tx, given []sprout.Machine, chosen map[sprout.MachineID]*ask, before map[sprout.MachineID]sprout.Machine) error {
	var keys []store.RequestKey
	var answers [][]byte
	for _, m := range given {
		a, was := chosen[m.ID], before[m.ID]
		r := a.record
		about(&r, m.Site, m.ID, m.Name)
		r.Detail = "to " + a.owner
		r.Changes = audit.Diff(moved{was.State, was.Owner}, moved{m.State, m.Owner})
		if err := d.store.Audit(ctx, tx, r); err != nil {
			return err
		}
		if a.key == nil {
			continue
		}
		raw, err := api.Encode(m)
		if err != nil {
			return err
		}
		keys, answers = append(keys, *a.key), append(answers, raw)
	}
	return d.store.PutAnswers(ctx, tx, keys, answers)
}

// moved is what giving a machine away changes of it.
type moved struct {
	State sprout.State `json:"state"`
	Owner string       `json:"owner,omitempty"`
}

// explain answers those for whom nothing was found: why, by one reading of all
// machines.
func (d *desk) explain(ctx context.Context, none []*ask) error {
	read := map[string][]sprout.Machine{} // by sites: mostly the same
	for _, a := range none {
		at, err := json.Marshal(a.sites)
		if err != nil {
			return err
		}
		machines, known := read[string(at)]
		if !known {
			if machines, err = all(func(p store.Page) ([]sprout.Machine, string, error) {
				return d.store.Machines(ctx, store.MachineFilter{Sites: a.sites, Page: p})
			}); err != nil {
				return err
			}
			read[string(at)] = machines
		}
		fit, removed := d.shelf.provider.Choose(a.want, machines)
		if len(fit) == 0 {
			a.answer(a.got, noneFits(len(machines), removed))
		} // else one has come meanwhile, and the next round looks again
	}
	return nil
}
