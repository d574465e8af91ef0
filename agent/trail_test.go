package agent

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"sprout"
	"sprout/health"
	"sprout/sitestore"
)

var trailNoon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func newTrail() *trail { return &trail{attempt: "att_1", ours: true} }

// A machine that asks for ever is told of a few times, with how often.
func TestTrailOfRepeatsIsShort(t *testing.T) {
	tr := newTrail()
	var counts []int
	for i := range 1000 {
		e, ok := tr.add(sprout.BootEvent{At: trailNoon.Add(time.Duration(i) * time.Second), What: sprout.SawDiscover, MAC: testMAC})
		if ok {
			counts = append(counts, e.Count)
		}
	}
	if fmt.Sprint(counts) != "[0 0 0 4 8 16 32 64 128 256 512]" {
		t.Errorf("reported with counts %v", counts)
	}
	if n := len(tr.events); n > 3 || tr.events[n-1].Count != 1000 {
		t.Errorf("remembered are %d events, the last %+v", n, tr.events[n-1])
	}
}

func TestTrailIsBounded(t *testing.T) {
	tr := newTrail()
	reported := 0
	for i := range 5000 {
		if _, ok := tr.add(sprout.BootEvent{At: trailNoon, What: "tftp-not-found", File: fmt.Sprint(i)}); ok {
			reported++
		}
	}
	if reported != trailReports || len(tr.events) > trailKeeps || len(tr.told) > trailReports {
		t.Errorf("%d reported, %d remembered, %d counted", reported, len(tr.events), len(tr.told))
	}
}

func TestTrailIsInTheOrderOfTime(t *testing.T) {
	tr := newTrail()
	tr.add(sprout.BootEvent{At: trailNoon.Add(time.Second), What: sprout.SawDiscover})
	tr.add(sprout.BootEvent{At: trailNoon, What: sprout.SawPowerOn}) // its BMC took its time to say so
	if tr.events[0].What != sprout.SawPowerOn {
		t.Errorf("the trail is %v", tr.events)
	}
}

// What is seen of a machine that no work asked to boot is an attempt of its own,
// from one start of its firmware to the next.
func TestOwnAttempts(t *testing.T) {
	store, err := sitestore.Open(filepath.Join(t.TempDir(), "site.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close() //nolint:errcheck // of a test
	s := &site{store: store}
	b := newBoots(s)
	ip := netip.MustParseAddr("10.0.0.1")
	var attempts []sprout.AttemptID
	see := func(after time.Duration, what, client string) {
		b.tell(sprout.BootEvent{At: trailNoon.Add(after), MAC: testMAC, What: what, Client: client, IP: ip})
		if len(b.seen) == 0 {
			attempts = append(attempts, "")
			return
		}
		attempts = append(attempts, (<-b.seen).Attempt)
	}
	see(0, sprout.SawDiscover, "system")               // not a boot of anything we know
	see(1*time.Second, sprout.SawDiscover, "pxe-0")    // 1: begins
	see(2*time.Second, sprout.SawOffer, "pxe-0")       // 2
	see(9*time.Second, sprout.SawDiscover, "pxe-0")    // 3: asks again
	see(12*time.Second, sprout.SawDiscover, "ipxe")    // 4
	see(13*time.Second, sprout.SawScript, "")          // 5
	see(60*time.Second, sprout.SawDiscover, "pxe-0")   // 6: was started anew
	see(10*time.Minute, sprout.SawDiscover, "pxe-0")   // 7: after long silence, anew
	see(10*time.Minute, sprout.SawPowerOff, "")        // 8: ends it
	see(11*time.Minute, sprout.SawDiscover, "http-16") // 9: anew
	want := []int{0, 1, 1, 1, 1, 1, 2, 3, 3, 4}
	number := map[sprout.AttemptID]int{"": 0}
	for i, a := range attempts {
		if _, ok := number[a]; !ok {
			number[a] = len(number)
		}
		if number[a] != want[i] {
			t.Errorf("event %d is of attempt %d, want %d", i, number[a], want[i])
		}
	}
}

// What a machine's kernel warned of is in the timeline at its own time, each line
// once, and no more of it than a report may bring.
func TestTheConsoleIsInTheTimeline(t *testing.T) {
	store, err := sitestore.Open(filepath.Join(t.TempDir(), "site.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close() //nolint:errcheck // of a test
	now := trailNoon.Add(time.Minute)
	s := &site{store: store, clock: health.ClockOf(func() time.Time { return now }, func() time.Duration { return 0 })}
	b := newBoots(s)
	lines := []sprout.ConsoleLine{{Text: "too old to be brought", Ago: 50}}
	for i := range mostLines {
		lines = append(lines, sprout.ConsoleLine{Text: fmt.Sprintf("nvme nvme0: I/O %d timeout", i), Ago: float64(40 - i)})
	}
	a := sitestore.Attempt{ID: "att_1", Machine: "mch_1"}
	b.warned(a, httptest.NewRequest(http.MethodPost, "/ramdisk/report", nil), lines)
	events := b.events("mch_1", "att_1")
	if len(events) != mostLines || events[0].What != sprout.SawConsole || events[0].Detail != "nvme nvme0: I/O 0 timeout" || !events[0].At.Equal(now.Add(-40*time.Second)) {
		t.Errorf("%d events, the first is %+v", len(events), events[0])
	}
}

// A ramdisk whose attempt is over goes on speaking until the power goes. That is
// told of its own boot: it begins none, and is not of the boot that comes next.
func TestARefusedRamdiskIsOfItsOwnBoot(t *testing.T) {
	b := newBoots(nil)
	see := func(what string, attempt sprout.AttemptID) sprout.AttemptID {
		e := sprout.BootEvent{At: trailNoon, Machine: "mch_1", MAC: testMAC, What: what, Attempt: attempt}
		if what == sprout.SawStranger {
			e.Attempt = ""
			e, _ = b.refused(e)
			return e.Attempt
		}
		e, _ = b.file(e)
		return e.Attempt
	}
	refused := func(step string, want sprout.AttemptID) {
		t.Helper()
		if got := see(sprout.SawStranger, ""); got != want {
			t.Errorf("%s: the refusal is of %q, want %q", step, got, want)
		}
	}
	refused("before any boot was seen", "")
	see(sprout.SawInitrd, "att_1")
	see(sprout.SawHello, "att_1")
	b.over("mch_1")
	refused("after its attempt", "att_1")
	see(sprout.SawPowerOn, "att_2")
	refused("while the next boot begins", "att_1")
	see(sprout.SawInitrd, "att_2")
	refused("once the next has its ramdisk", "att_2")
	see(sprout.SawPowerOn, "att_3")
	if t3 := b.trails["mch_1"]; t3.attempt != "att_3" || t3.before == nil || t3.before.before != nil {
		t.Errorf("the trails are %+v", t3)
	}
}

// A machine that nobody knew when it booted is known when its ramdisk is refused.
func TestARefusedStrangerIsOfItsBoot(t *testing.T) {
	b := newBoots(nil)
	booted, _ := b.file(sprout.BootEvent{At: trailNoon, MAC: testMAC, What: sprout.SawDiscover, Client: "pxe-0"})
	e, _ := b.refused(sprout.BootEvent{At: trailNoon, Machine: "mch_1", MAC: testMAC, What: sprout.SawStranger})
	if e.Attempt == "" || e.Attempt != booted.Attempt {
		t.Errorf("booted as %q, refused as %q", booted.Attempt, e.Attempt)
	}
}

func TestStrangersAreBounded(t *testing.T) {
	b := newBoots(nil)
	for i := range mostStrangers + 100 {
		b.begin(sprout.BootEvent{MAC: fmt.Sprint(i)}, "")
	}
	if len(b.trails) != mostStrangers || len(b.strangers) != mostStrangers {
		t.Errorf("%d trails, %d strangers", len(b.trails), len(b.strangers))
	}
}

// A site that boots as a whole is told of in few facts, of which each is small
// enough for the bus.
func TestEventsAreGathered(t *testing.T) {
	b := newBoots(nil)
	for range 1000 {
		b.seen <- &sprout.BootEvent{What: sprout.SawOffer}
	}
	if n := len(b.gather(t.Context(), <-b.seen)); n != gatherMost {
		t.Errorf("a fact has %d events", n)
	}
	for len(b.seen) > 0 {
		<-b.seen
	}
	if n := len(b.gather(t.Context(), &sprout.BootEvent{})); n != 1 {
		t.Errorf("a fact has %d events", n)
	}
}
