package server

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/alloc"
	"sprout/api"
	"sprout/audit"
	"sprout/crowd"
	"sprout/store"
)

// patience is how long an ask is tried for anew whose machines others take. It
// bounds what ends by itself: see answerAll.
const patience = 30 * time.Second

// A desk gives machines away. Those who ask at once share one reading of what is
// free and one transaction. What it knows of the machines may be old: the store
// gives none that is not what it was when it was chosen.
type desk struct {
	store *store.Store
	shelf shelf
	crowd crowd.Crowd[struct{}, *ask]
}

// An ask is one machine that somebody wants, and what came of it.
type ask struct {
	sites  sprout.Sites
	want   alloc.Request
	owner  string
	record sprout.AuditRecord
	key    *store.RequestKey // nil: none, or another takes it

	missed sight // what it was not given last
	got    sprout.Machine
	err    error
	over   bool // got or err is the answer
}

// A sight is a machine as it was seen.
type sight struct {
	machine  sprout.MachineID
	revision int64
}

func (a *ask) answer(got sprout.Machine, err error) { a.got, a.err, a.over = got, err, true }

// ask answers one ask, with others or for others. errAlone: not with others; the
// key was not taken.
func (d *desk) ask(ctx context.Context, a *ask) (sprout.Machine, error) {
	if store.Joined(ctx) {
		d.answerAll(ctx, []*ask{a})
		return a.got, a.err
	}
	if err := d.crowd.Ask(ctx, struct{}{}, a, d.answerAll); err != nil {
		return a.got, err
	}
	return a.got, a.err
}

// errTaken says that machines which were chosen, or which fit, are somebody else's
// now, or may be in a moment.
var errTaken = errors.New("others take what fits")

// takenAway is what is said when errTaken does not end.
func takenAway() error {
	return sprout.Errorf(sprout.Unavailable, "cannot allocate now: for %s others took each machine that fitted", patience).WithRemedy("try again")
}

// answerAll answers each ask: by a machine, by why there is none, or where
// something failed for all of them by errAlone.
//
// An ask goes through another round for one of two reasons, and each is somebody
// else's progress. Its machine is no longer what was chosen: somebody has changed it
// and committed. Or all that fits is proposed to others of this process: then it
// waits until they are told, and either it is theirs, or it is free again. A machine
// that is missed twice as it was is in the hands of a transaction that lasts: its ask
// goes alone, so that nobody waits with it, and waits for that.
func (d *desk) answerAll(ctx context.Context, asks []*ask) {
	until := time.Now().Add(patience)
	alone := store.Joined(ctx)
	for again := false; ; again = true {
		left := slices.DeleteFunc(slices.Clone(asks), func(a *ask) bool { return a.over })
		if len(left) == 0 {
			return
		}
		err := d.round(ctx, left, alone, again)
		if errors.Is(err, errTaken) {
			err = d.shelf.wait(ctx)
		}
		if err == nil && time.Now().Before(until) {
			continue
		}
		if err != nil {
			err = orAlone(err, len(asks))
		} else {
			err = takenAway()
		}
		for _, a := range left {
			if !a.over {
				a.answer(a.got, err)
			}
		}
		return
	}
}

// orAlone is the error of one of so many asks that failed together: one of them may
// be to blame, and not the others.
func orAlone(err error, asks int) error {
	if asks > 1 {
		return errAlone
	}
	return err
}

// round chooses a machine for each ask and gives away what it can; asks whose
// machine is no longer as it was are not over. Where there is nothing for an ask,
// that is by a reading since the round began; errTaken if there should be.
func (d *desk) round(ctx context.Context, asks []*ask, alone, again bool) error {
	began := time.Now()
	chosen := map[sprout.MachineID]*ask{}
	before := map[sprout.MachineID]sprout.Machine{}
	settle := sync.OnceFunc(func() { d.shelf.settle(before) })
	defer settle()
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
	if err := d.give(ctx, chosen, before, alone, again); err != nil {
		return err
	}
	for id, a := range chosen {
		now := sight{id, before[id].Rev}
		if now == a.missed && !a.over && !alone {
			a.answer(a.got, errAlone)
		}
		a.missed = now
	}
	settle() // who waits for what others were proposed must propose nothing
	return d.explain(ctx, none)
}

// errNone has a transaction that gave nothing undone, with its locks.
var errNone = errors.New("nothing was given")

// give is the transaction of a round.
func (d *desk) give(ctx context.Context, chosen map[sprout.MachineID]*ask, before map[sprout.MachineID]sprout.Machine, alone, again bool) error {
	if len(chosen) == 0 {
		return nil
	}
	var t turn
	err := d.store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		t = turn{chosen: chosen, before: before} // the transaction may be tried anew
		if err := d.admit(ctx, tx, &t, alone); err != nil {
			return err
		}
		given, err := d.store.Give(ctx, tx, t.gifts, alone && again)
		if err != nil {
			return err
		}
		if t.given = given; len(given) == 0 {
			return errNone
		}
		return d.note(ctx, tx, given, chosen, before)
	})
	if err != nil && !errors.Is(err, errNone) && !errors.Is(err, store.ErrHeld) {
		return err
	}
	for _, a := range t.lost {
		a.answer(a.got, errAlone)
	}
	for _, m := range t.given {
		chosen[m.ID].answer(m, nil)
		q := t.quotas[m.Owner]
		q.Has++
		t.quotas[m.Owner] = q
	}
	for _, a := range t.beyond {
		if q := t.quotas[a.owner]; q.Room() == 0 { // else there was less to be had than the quota allows
			a.answer(a.got, q.Refuse(1))
		}
	}
	if len(t.given) < len(t.gifts) {
		d.shelf.forget()
	}
	return nil
}

// A turn is what comes of the asks of one transaction.
type turn struct {
	chosen map[sprout.MachineID]*ask
	before map[sprout.MachineID]sprout.Machine
	quotas map[string]sprout.Quota // of owners that have one
	gifts  []store.Gift
	lost   []*ask // whose key somebody else has
	beyond []*ask // whose owner may have no more
	given  []sprout.Machine
}

// admit decides who is given something: whose key nobody has, and whose owner may
// have more. errAlone where a transaction that lasts has one of the owners' quotas:
// nobody else is to wait for that.
func (d *desk) admit(ctx context.Context, tx pgx.Tx, t *turn, alone bool) error {
	var keys []store.RequestKey
	var owners []string
	for _, a := range t.chosen {
		owners = append(owners, a.owner)
		if a.key != nil {
			keys = append(keys, *a.key)
		}
	}
	free, err := d.store.TakeKeys(ctx, tx, keys)
	if err != nil {
		return err
	}
	t.quotas, err = d.store.LockQuotas(ctx, tx, owners, alone)
	if errors.Is(err, store.ErrHeld) {
		return errAlone
	}
	if err != nil {
		return err
	}
	asked := map[string]int{}
	for id, a := range t.chosen {
		if a.key != nil && !free[string(a.key.ID)] {
			t.lost = append(t.lost, a)
			continue
		}
		if q, has := t.quotas[a.owner]; has && asked[a.owner] >= q.Room() {
			t.beyond = append(t.beyond, a)
			continue
		}
		asked[a.owner]++
		if a.key != nil {
			delete(free, string(a.key.ID)) // the same request once more, in the same round, is told what came of this one
		}
		t.gifts = append(t.gifts, store.Gift{Machine: id, Revision: t.before[id].Rev, Owner: a.owner, Actor: a.record.Actor, Reason: "to " + a.owner})
	}
	return nil
}

// note writes the audit records of what was given, and the answers of requests
// that bear a key.
func (d *desk) note(ctx context.Context, tx pgx.Tx, given []sprout.Machine, chosen map[sprout.MachineID]*ask, before map[sprout.MachineID]sprout.Machine) error {
	var keys []store.RequestKey
	var answers [][]byte
	for _, m := range given {
		a := chosen[m.ID]
		if err := d.store.Audit(ctx, tx, gift(a.record, before[m.ID], m)); err != nil {
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

// gift is the record of a machine that was given.
func gift(r sprout.AuditRecord, was, now sprout.Machine) sprout.AuditRecord {
	about(&r, now.Site, now.ID, now.Name)
	r.Detail = "to " + now.Owner
	r.Changes = audit.Diff(moved{was.State, was.Owner}, moved{now.State, now.Owner})
	return r
}

// moved is what giving a machine away changes of it.
type moved struct {
	State sprout.State `json:"state"`
	Owner string       `json:"owner,omitempty"`
}

// explain answers those for whom nothing was found: why, by one reading of all
// machines. errTaken if somebody's fits by then.
func (d *desk) explain(ctx context.Context, none []*ask) error {
	read := map[string][]sprout.Machine{} // by sites: mostly the same
	var taken error
	for _, a := range none {
		at, err := json.Marshal(a.sites)
		if err != nil {
			return err
		}
		machines, known := read[string(at)]
		if !known {
			if machines, err = d.everything(ctx, a.sites); err != nil {
				return err
			}
			read[string(at)] = machines
		}
		fit, removed := d.shelf.provider.Choose(a.want, machines)
		if len(fit) == 0 {
			a.answer(a.got, tooFew(1, 0, len(machines), removed).WithRemedy("sprout machine list -o wide; or wait for one: sprout allocation create --queue"))
		} else {
			taken = errTaken
		}
	}
	return taken
}

// everything reads all machines of the sites, but those that are retired.
func (d *desk) everything(ctx context.Context, sites sprout.Sites) ([]sprout.Machine, error) {
	return all(func(p store.Page) ([]sprout.Machine, string, error) {
		return d.store.Machines(ctx, store.MachineFilter{Sites: sites, NotRetired: true, Page: p})
	})
}
