package agent

import (
	"hash/maphash"
	"math/bits"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sprout"
)

const (
	trailKeeps   = 64              // events remembered of one attempt, the newest
	trailLines   = 24              // of these what a console said
	trailReports = 400             // events reported of one attempt
	quietEnds    = 5 * time.Minute // after such a silence a firmware that asks has been started anew
)

// A trail is what was seen of one boot attempt. Every machine has one at rest, so
// it holds no more than the next event needs: the events themselves only while
// the site's own work may have to say why its boot failed.
type trail struct {
	attempt sprout.AttemptID
	ours    bool               // the site's own work opened it
	over    bool               // by the site's own word: its tokens have ended
	events  []sprout.BootEvent // by time; of an attempt that is ours and not over
	newest  glance
	told    []sighting   // how often each sight was seen
	seed    maphash.Seed // of their hashes
	reports int
	far     bool   // the boot went beyond its firmware
	loaded  bool   // it fetched its ramdisk
	before  *trail // the boot before: its ramdisk may speak until the power goes
}

// A glance is what of an event tells whether the next is of the same boot.
type glance struct {
	at   time.Time
	what string
}

// A sighting is how often a sight was seen, by 32 bits of its hash. Two that share
// them, of thirty in one boot of ten million, are counted as one.
type sighting struct{ sight, times uint32 }

// forget drops all but what tells the attempt apart from the next.
func (t *trail) forget() { t.events, t.told = nil, nil }

// A sight is what makes two events the same to whoever reads them.
type sight struct {
	what, mac, client, file string
	ip                      netip.Addr
	code                    sprout.Code
	text                    string // of a console: no two lines are the same
}

func sightOf(e sprout.BootEvent) sight {
	s := sight{e.What, e.MAC, e.Client, e.File, e.IP, e.Code, ""}
	if e.What == sprout.SawConsole {
		s.text = e.Detail
	}
	return s
}

// ends tells whether the event, for which no attempt is open, begins another
// one: no work of the site told of its power-on, so its firmware must.
func (t *trail) ends(e sprout.BootEvent) bool {
	if e.What == sprout.SawPowerOff {
		return false // the end of what was seen before
	}
	if t.over {
		return true
	}
	if t.newest.what == sprout.SawPowerOff {
		return true
	}
	firmware := e.What == sprout.SawDiscover && strings.Contains(e.Client, "-")
	return firmware && (t.far || e.At.Sub(t.newest.at) > quietEnds)
}

// add remembers the event and tells whether it is to be reported: the first
// three of a kind are, and then the 4th, 8th, 16th and so on, with the count.
func (t *trail) add(e sprout.BootEvent) (sprout.BootEvent, bool) {
	if t.told == nil {
		t.seed = maphash.MakeSeed()
	}
	n := t.times(uint32(maphash.Comparable(t.seed, sightOf(e)))) //nolint:gosec // its lower half
	if n == 0 {
		return e, false
	}
	t.far = t.far || strings.HasPrefix(e.What, "http-script") || e.Client == "system"
	if e.Fetched(sprout.SawInitrd) {
		t.loaded, t.before = true, nil // the ramdisk of the boot before is gone
	}
	if n > 3 {
		e.Count = n
	}
	if !e.At.Before(t.newest.at) {
		t.newest = glance{e.At, e.What}
	}
	if t.ours && !t.over {
		t.keep(e)
	}
	if n > 3 && bits.OnesCount(uint(n)) != 1 || t.reports >= trailReports {
		return e, false
	}
	t.reports++
	return e, true
}

// times counts a sight and returns how often it was seen; 0 if that are too many
// different ones to count another.
func (t *trail) times(sight uint32) int {
	for i := range t.told {
		if t.told[i].sight == sight {
			t.told[i].times++
			return int(t.told[i].times)
		}
	}
	if len(t.told) >= trailReports {
		return 0
	}
	t.told = append(t.told, sighting{sight, 1})
	return 1
}

// keep files the event by its time, in place of the last of its kind where it
// counts how often that was seen.
func (t *trail) keep(e sprout.BootEvent) {
	if e.Count > 0 {
		if i := t.last(sightOf(e)); i >= 0 {
			t.events = slices.Delete(t.events, i, i+1)
		}
	}
	if e.What == sprout.SawConsole {
		t.forgetLine()
	}
	if len(t.events) >= trailKeeps {
		t.events = slices.Delete(t.events, 0, len(t.events)-trailKeeps+1)
	}
	at := len(t.events)
	for at > 0 && t.events[at-1].At.After(e.At) {
		at--
	}
	t.events = slices.Insert(t.events, at, e)
}

// forgetLine makes room for a line of a console, which must not drive out what the
// diagnosis needs.
func (t *trail) forgetLine() {
	oldest, lines := -1, 0
	for i, e := range slices.Backward(t.events) {
		if e.What == sprout.SawConsole {
			oldest, lines = i, lines+1
		}
	}
	if lines >= trailLines {
		t.events = slices.Delete(t.events, oldest, oldest+1)
	}
}

// last is the index of the newest event of the kind, -1 if it is forgotten.
func (t *trail) last(kind sight) int {
	for i, e := range slices.Backward(t.events) {
		if sightOf(e) == kind {
			return i
		}
	}
	return -1
}
