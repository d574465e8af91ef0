package server

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"sprout"
)

// How many refusals are recorded one by one: so many at once, and so many a
// minute when they do not stop. Whatever is more is counted, and once a minute a
// record says how many of what. A flood, from however many tokens and addresses,
// leaves at most refusedAMinute + toldAMinute + 1 records a minute, which is
// about 30 MB a day.
const (
	refusedAtOnceByOne  = 1000 // of one token, or of one address without a token
	refusedAMinuteByOne = 10
	refusedAtOnce       = 2000
	refusedAMinute      = 30
	toldAMinute         = 20   // tokens and addresses whose refusals are told apart
	mostRefused         = 1000 // tokens and addresses that are known at a time
	tellEvery           = time.Minute
	gatherRefusals      = 200 * time.Millisecond // how long they gather to be written together
)

// A refusalBook writes refusals down beside the requests that it is about: note
// waits for nothing. What it holds that is not written yet is bounded too, and
// lost when the process is killed.
type refusalBook struct {
	write func(context.Context, []sprout.AuditRecord) error
	log   *slog.Logger
	clock func() time.Time
	news  chan struct{}
	pen   chan struct{} // who writes holds it

	mu      sync.Mutex
	pending []sprout.AuditRecord
	all     bucket
	by      map[string]*refusedBy
}

// refusedBy is what one token or address was refused.
type refusedBy struct {
	bucket bucket
	last   sprout.AuditRecord
	more   map[string]int // by action: not recorded one by one
	count  int
}

// A bucket holds what may be recorded now, and fills up again.
type bucket struct {
	spent float64
	at    time.Time
}

// take tells whether there is one left, and takes it.
func (b *bucket) take(now time.Time, most, aMinute float64) bool {
	b.spent = max(0, b.spent-now.Sub(b.at).Minutes()*aMinute)
	b.at = now
	if b.spent+1 > most {
		return false
	}
	b.spent++
	return true
}

func newRefusalBook(log *slog.Logger, write func(context.Context, []sprout.AuditRecord) error) *refusalBook {
	return &refusalBook{
		write: write, log: log, clock: time.Now, news: make(chan struct{}, 1), pen: make(chan struct{}, 1), by: map[string]*refusedBy{},
	}
}

// note keeps a refusal to be written soon, or counts it where there are too many.
func (b *refusalBook) note(r sprout.AuditRecord) {
	now := b.clock()
	r.At = now.UTC()
	b.mu.Lock()
	defer b.mu.Unlock()
	key := refuserOf(r)
	if b.by[key] == nil && len(b.by) >= mostRefused {
		key, r.Token, r.Source, r.Actor = "", "", "", "others"
	}
	one := b.by[key]
	if one == nil {
		one = &refusedBy{more: map[string]int{}}
		b.by[key] = one
	}
	room := len(b.pending) < refusedAtOnce && one.bucket.take(now, refusedAtOnceByOne, refusedAMinuteByOne) && b.all.take(now, refusedAtOnce, refusedAMinute)
	if !room {
		one.last = r
		one.count++
		one.more[r.Action]++
		return
	}
	b.pending = append(b.pending, r)
	select {
	case b.news <- struct{}{}:
	default:
	}
}

// refuserOf is whom refusals are counted by: a token, or an address; of IPv6 a
// network of 64 bits, all of which one sender may have (RFC 4291, section 2.5.4).
func refuserOf(r sprout.AuditRecord) string {
	if r.Token != "" {
		return string(r.Token)
	}
	a, err := netip.ParseAddr(r.Source)
	if err != nil || a.Unmap().Is4() {
		return r.Source
	}
	return netip.PrefixFrom(a.WithZone(""), 64).Masked().String()
}

// run writes what was noted, and tells once a minute of what was only counted,
// until ctx ends. finish writes the rest.
func (b *refusalBook) run(ctx context.Context) error {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			b.tell()
		case <-b.news:
			_ = sprout.Pause(ctx, gatherRefusals)
		}
		if err := b.flush(ctx); err != nil && ctx.Err() == nil {
			b.log.Error("refusals wait to be recorded", "error", err) // and are tried again with the next
		}
	}
	return nil
}

// finish writes all that is left.
func (b *refusalBook) finish(ctx context.Context) {
	b.tell()
	if err := b.flush(ctx); err != nil {
		b.log.Error("some refusals are not on record", "error", err)
	}
}

// flush writes what was noted until now; what cannot be written stays.
func (b *refusalBook) flush(ctx context.Context) error {
	select {
	case b.pen <- struct{}{}:
		defer func() { <-b.pen }()
	case <-ctx.Done():
		return ctx.Err()
	}
	b.mu.Lock()
	list := b.pending
	b.pending = nil
	b.mu.Unlock()
	if len(list) == 0 {
		return nil
	}
	err := b.write(ctx, list)
	if err != nil {
		b.mu.Lock()
		b.pending = append(list, b.pending...) // at most twice what it may hold
		b.mu.Unlock()
	}
	return err
}

// tell keeps a record for each that had the most refusals, and one for the rest.
func (b *refusalBook) tell() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.pending) >= refusedAtOnce {
		return // the database is away: they are counted on
	}
	told := b.counted()
	if len(told) > toldAMinute {
		rest := refusedBy{last: sprout.AuditRecord{Kind: sprout.AuditRequest, Actor: "others"}, more: map[string]int{}}
		for _, one := range told[toldAMinute:] {
			rest.count += one.count
			for action, n := range one.more {
				rest.more[action] += n
			}
		}
		told = append(told[:toldAMinute:toldAMinute], rest)
	}
	for _, one := range told {
		r := sprout.AuditRecord{Kind: one.last.Kind, Actor: one.last.Actor, Token: one.last.Token, Source: one.last.Source, Site: one.last.Site}
		r.At, r.Action, r.Outcome = b.clock().UTC(), "refusals", "refused"
		r.Detail = words(fmt.Sprintf("%d more that have no record of their own: %s", one.count, actions(one.more)))
		b.pending = append(b.pending, r)
	}
}

// counted takes what is to be told, the most first, and forgets who was quiet.
func (b *refusalBook) counted() (told []refusedBy) {
	for key, one := range b.by {
		if one.count > 0 {
			told = append(told, *one)
			one.count, one.more = 0, map[string]int{}
		} else if b.clock().Sub(one.bucket.at).Minutes()*refusedAMinuteByOne > one.bucket.spent {
			delete(b.by, key)
		}
	}
	slices.SortFunc(told, func(x, y refusedBy) int { return cmp.Compare(y.count, x.count) })
	return told
}

// actions writes what was refused, the most first.
func actions(more map[string]int) string {
	names := slices.SortedFunc(maps.Keys(more), func(x, y string) int { return cmp.Or(cmp.Compare(more[y], more[x]), cmp.Compare(x, y)) })
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, more[name])
	}
	return strings.Join(names, ", ")
}
