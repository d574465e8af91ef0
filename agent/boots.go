package agent

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"sprout"
	"sprout/sitestore"
)

// Events on their way to the outbox are gathered for gatherFor, or until there
// are gatherMost: a fact carries many, so that a site that boots as a whole does
// not flood the centre.
const (
	gatherFor  = 200 * time.Millisecond
	gatherMost = 256
)

// mostWaiting is how many events may wait to be written.
const mostWaiting = 4096

// mostStrangers is how many unknown machines' trails are kept in memory.
const mostStrangers = 4096

// boots is the flight recorder of the site: it files what is seen of boots under
// the attempt that it belongs to, keeps those of the site's own work in memory for the diagnosis,
// and writes all of it into the outbox, without holding up who saw it.
type boots struct {
	site *site
	seen chan *sprout.BootEvent
	lost atomic.Int64

	mu        sync.Mutex
	trails    map[string]*trail // by machine id, or by MAC while that is unknown
	strangers []string          // MACs in trails, the oldest first
}

func newBoots(s *site) *boots {
	return &boots{site: s, seen: make(chan *sprout.BootEvent, mostWaiting), trails: map[string]*trail{}}
}

// tell files an event; one too many is counted and lost. Of an unknown MAC only
// what boots is of interest: other clients ask for addresses too.
func (b *boots) tell(e sprout.BootEvent) {
	if e.At.IsZero() {
		e.At = b.site.clock.Now()
	}
	e.At, e.MAC = e.At.UTC(), strings.ToLower(e.MAC)
	e = e.Clean()
	if e.Machine == "" {
		if m, ok := b.site.store.MachineByMAC(e.MAC); ok {
			e.Machine = m.ID
		}
	}
	if e, ok := b.file(e); ok {
		select {
		case b.seen <- &e:
		default:
			b.lost.Add(1)
		}
	}
}

// file puts the event into its trail, and tells whether it is to be reported.
func (b *boots) file(e sprout.BootEvent) (sprout.BootEvent, bool) {
	open := b.open(e)
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.What == sprout.SawStranger {
		return b.refused(e)
	}
	t := b.trails[ownerOf(e)]
	if t == nil && e.Machine == "" && e.Client == "system" {
		return e, false
	}
	switch {
	case open != "" && t != nil && open < t.attempt:
		e.Attempt = open // a word from an older boot
		return e, true
	case t == nil, open != "" && open != t.attempt, open == "" && t.ends(e):
		t = b.begin(e, open)
	}
	e.Attempt = t.attempt
	return t.add(e)
}

// refused files the word of a ramdisk whose token is not good. It belongs to the
// boot that brought the ramdisk and never begins one: until the boot that is
// open has fetched a ramdisk of its own, that is the boot before it.
func (b *boots) refused(e sprout.BootEvent) (sprout.BootEvent, bool) {
	t := b.trails[ownerOf(e)]
	if t == nil {
		t = b.trails[e.MAC] // nobody knew the machine when it booted
	}
	if t != nil && !t.loaded && t.before != nil {
		t = t.before
	}
	if t == nil {
		return e, false // it booted before this agent started
	}
	e.Attempt = t.attempt
	return t.add(e)
}

// open is the attempt that the site's own work has open for the machine, empty
// if none; it is the one the event names where it names one.
func (b *boots) open(e sprout.BootEvent) sprout.AttemptID {
	if e.Attempt != "" && e.Machine != "" {
		return e.Attempt
	}
	if e.Machine == "" {
		return ""
	}
	attempt, _ := b.site.store.OpenAttempt(e.Machine)
	return attempt
}

// begin begins a trail: of the attempt, or of one of its own.
func (b *boots) begin(e sprout.BootEvent, attempt sprout.AttemptID) *trail {
	ours := attempt != ""
	if !ours {
		attempt = sprout.NewID[sprout.AttemptID](sprout.PrefixAttempt)
	}
	owner := ownerOf(e)
	if _, known := b.trails[owner]; !known && e.Machine == "" {
		b.strangers = append(b.strangers, owner)
		if len(b.strangers) > mostStrangers {
			delete(b.trails, b.strangers[0])
			b.strangers = b.strangers[1:]
		}
	}
	t := &trail{attempt: attempt, ours: ours, before: b.trails[owner]}
	if t.before != nil {
		t.before.forget()
		t.before.before = nil
	}
	b.trails[owner] = t
	return t
}

func ownerOf(e sprout.BootEvent) string {
	if e.Machine != "" {
		return string(e.Machine)
	}
	return e.MAC
}

// events returns what is remembered of an attempt that the site's own work has
// open, the oldest first.
func (b *boots) events(machine sprout.MachineID, attempt sprout.AttemptID) []sprout.BootEvent {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.trails[string(machine)]; t != nil && t.attempt == attempt {
		return append([]sprout.BootEvent(nil), t.events...)
	}
	return nil
}

// over notes that the machine's attempt has ended: what is seen next is of
// another.
func (b *boots) over(machine sprout.MachineID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.trails[string(machine)]; t != nil {
		t.over = true
		t.forget()
	}
}

// run reports until ctx ends, and then what still waits.
func (b *boots) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			for len(b.seen) > 0 {
				b.write(ctx, <-b.seen)
			}
			return nil
		case e := <-b.seen:
			b.write(ctx, e)
		}
	}
}

// write appends one fact of the event and those that come soon after it. What
// cannot be kept now, as on a full disk, is tried again until ctx ends.
func (b *boots) write(ctx context.Context, first *sprout.BootEvent) {
	fact, err := sitestore.NewFact(sprout.FactBoot, b.gather(ctx, first))
	if err != nil {
		b.site.log.Error("boot events not kept", "error", err)
		return
	}
	if lost := b.lost.Swap(0); lost > 0 {
		b.site.log.Warn("boot events lost: too many at once", "events", lost)
	}
	for said := false; ; said = true {
		err := b.site.store.Update(context.WithoutCancel(ctx), func(tx *bbolt.Tx) error {
			return b.site.store.AppendFact(tx, fact)
		})
		if err == nil {
			return
		}
		if !said {
			b.site.log.Error("boot events not kept; trying again", "error", err)
		}
		if sprout.Pause(ctx, time.Second) != nil {
			return
		}
	}
}

// gather waits for more events, but not long; not at all once ctx has ended.
func (b *boots) gather(ctx context.Context, first *sprout.BootEvent) []*sprout.BootEvent {
	events := []*sprout.BootEvent{first}
	enough := time.NewTimer(gatherFor)
	defer enough.Stop()
	for len(events) < gatherMost {
		select {
		case e := <-b.seen:
			events = append(events, e)
			continue
		default:
		}
		select {
		case e := <-b.seen:
			events = append(events, e)
		case <-enough.C:
			return events
		case <-ctx.Done():
			return events
		}
	}
	return events
}
