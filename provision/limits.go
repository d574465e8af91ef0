package provision

import (
	"fmt"
	"slices"
	"time"

	"sprout"
	"sprout/hwtest"
)

// How long each step of the centre may take before it is a failure, and a site's
// work as a whole at least. Each is longer than what happens inside it and
// shorter than the work around it.
const (
	shortStep    = 2 * time.Minute // one that only writes the store or asks a provider; longer than an engine's claim
	commissionBy = time.Hour
	deployBy     = 3 * time.Hour
	rescueBy     = 2 * time.Hour
	releaseBy    = 26 * time.Hour

	workSlack = 30 * time.Minute // for work to wait at its site, beyond the limits of its steps
	stopSite  = 10 * time.Minute // for a site to undo cancelled work
)

// Limits are how long each step of a site may take before it is a failure,
// where the work itself does not say. A zero field is the usual one.
type Limits struct {
	TakeMachine time.Duration // an older run must unwind first
	AwaitBMC    time.Duration // somebody must go there
	FetchImage  time.Duration
	Power       time.Duration
	BootRamdisk time.Duration // large servers take that long in their firmware
	Order       time.Duration // inspect, test
	TakeTurn    time.Duration // others download
	WriteImage  time.Duration
	EraseDisks  time.Duration
	PhoneHome   time.Duration

	// A ramdisk that works speaks every half second, one that waits every 25 s.
	// After Gone without a word it is given up.
	Gone time.Duration
	// Look is how often a waiting step looks whether the machine still lives.
	Look time.Duration
}

// A limitRule is how long a step of a site may take: its field of Limits, what
// is usual for a machine that nothing is known of, and what the size of a known
// machine and of its work make of that.
type limitRule struct {
	step  string
	field func(*Limits) *time.Duration
	usual time.Duration
	sized func(Size) (time.Duration, string) // nil, or 0: the size says nothing
}

// limitRules is the table of limits. A ramdisk that falls silent, and a machine
// that goes off, are noticed within two minutes: a limit that is too long costs
// little, one that is too short fails good machines.
var limitRules = []limitRule{
	{"take-machine", func(l *Limits) *time.Duration { return &l.TakeMachine }, 10 * time.Minute, nil},
	{"await-bmc", func(l *Limits) *time.Duration { return &l.AwaitBMC }, 12 * time.Hour, nil},
	{"fetch-image", func(l *Limits) *time.Duration { return &l.FetchImage }, 30 * time.Minute, fetchTime},
	{"probe-addresses", nil, shortStep, nil},
	{"set-boot-intent", nil, shortStep, nil},
	{"power-on", powerField, 3 * time.Minute, nil},
	{"boot-ramdisk", func(l *Limits) *time.Duration { return &l.BootRamdisk }, 15 * time.Minute, postTime(15 * time.Minute)},
	{"eject-media", powerField, 3 * time.Minute, nil},
	{"open-shell", orderField, 15 * time.Minute, nil},
	{"start-disk", powerField, 3 * time.Minute, nil},
	{"inspect", orderField, 15 * time.Minute, nil},
	{"fetch-tests", nil, shortStep, nil},
	{"test-hardware", orderField, 15 * time.Minute, testTime(15 * time.Minute)},
	{"judge-tests", nil, shortStep, nil},
	{"take-turn", func(l *Limits) *time.Duration { return &l.TakeTurn }, 6 * time.Hour, nil},
	{"write-image", func(l *Limits) *time.Duration { return &l.WriteImage }, time.Hour, writeTime},
	{"erase-disks", func(l *Limits) *time.Duration { return &l.EraseDisks }, 12 * time.Hour, eraseTime},
	{"boot-disk", powerField, 3 * time.Minute, nil},
	{"phone-home", func(l *Limits) *time.Duration { return &l.PhoneHome }, 30 * time.Minute, postTime(30 * time.Minute)},
	{"power-off", powerField, 3 * time.Minute, nil},
}

func powerField(l *Limits) *time.Duration { return &l.Power }
func orderField(l *Limits) *time.Duration { return &l.Order }

func (l Limits) withDefaults() Limits {
	for _, r := range limitRules {
		if r.field != nil && *r.field(&l) == 0 {
			*r.field(&l) = r.usual
		}
	}
	if l.Gone == 0 {
		l.Gone = 2 * time.Minute
	}
	if l.Look == 0 {
		l.Look = 5 * time.Second
	}
	return l
}

// A Size is what is known of a machine and its work that makes steps long, in
// bytes; 0: not known.
type Size struct {
	Memory int64
	Disks  int64         // all of them together: they are erased one after the other
	Image  int64         // as it is stored and fetched
	Raw    int64         // as it is written
	Tests  time.Duration // that were asked for, on all their devices, at most
}

// postTime adds a minute for every 128 GiB of memory, which firmware trains and
// tests at a start: 24 minutes for 3 TiB.
func postTime(base time.Duration) func(Size) (time.Duration, string) {
	return func(s Size) (time.Duration, string) {
		more := time.Duration(s.Memory>>37) * time.Minute
		if more == 0 {
			return 0, ""
		}
		return base + more, fmt.Sprintf("%d GiB of memory", s.Memory>>30)
	}
}

// testTime is postTime and what the tests that were asked for may take.
func testTime(base time.Duration) func(Size) (time.Duration, string) {
	return func(s Size) (time.Duration, string) {
		more, why := postTime(base)(s)
		if s.Tests == 0 {
			return more, why
		}
		return max(more, base) + s.Tests, "tests that may take " + s.Tests.String()
	}
}

// unknownDevices is how many disks or ports a machine is taken to have before
// its inventory is known.
const unknownDevices = 24

// testsTake is how long tests may take on all devices of a machine.
func testsTake(runs []sprout.TestRun, inv *sprout.Inventory) (all time.Duration) {
	for _, r := range runs {
		devices := unknownDevices
		if inv != nil {
			devices = len(hwtest.Devices(r.Test.Kind, *inv))
		}
		if r.Test.Parallel || inv == nil && len(hwtest.Devices(r.Test.Kind, sprout.Inventory{})) > 0 {
			devices = 1
		}
		all += hwtest.Timeout(r) * time.Duration(max(devices, 1))
	}
	return all
}

// fetchTime is for a WAN that gives 5 MB/s.
func fetchTime(s Size) (time.Duration, string) {
	return moved(15*time.Minute, s.Image, 5e6, "an image file of")
}

// writeTime is for a disk, or a share of the network, that takes 10 MB/s.
func writeTime(s Size) (time.Duration, string) {
	return moved(45*time.Minute, s.Raw, 10e6, "an image of")
}

// eraseTime is for disks that cannot discard and are overwritten at 80 MB/s.
func eraseTime(s Size) (time.Duration, string) {
	return moved(time.Hour, s.Disks, 80e6, "disks of")
}

func moved(base time.Duration, bytes, perSecond int64, what string) (time.Duration, string) {
	if bytes <= 0 {
		return 0, ""
	}
	took := (base + time.Duration(bytes/perSecond)*time.Second).Round(time.Minute)
	return took, fmt.Sprintf("%s %.1f GB", what, float64(bytes)/1e9)
}

// The bounds of a step's limit, and how history makes one.
const (
	leastRuns    = 5 // past runs from which history counts
	timesP95     = 3 // a run may take so many times what 95 of 100 took
	mostOfUsual  = 4 // history raises a limit to so many times what it is without, at most
	LeastLimit   = time.Minute
	LongestLimit = 14 * 24 * time.Hour
)

// A Basis is what the limits of a machine's work are made from. Model is the
// machine's, empty while it is not known: then there is neither Past nor Set.
type Basis struct {
	Model string
	Size  Size
	Past  map[string]sprout.Usual // by step: how long it took on this model
	Set   []sprout.ModelLimit     // what people have set for this model
}

// StepLimits says how long each step of a kind of site work may take on a
// machine, and why so long: as somebody has set for its model; else the usual,
// or what its size asks for, raised to what runs on this model have taken.
func StepLimits(kind string, b Basis) []sprout.StepLimit {
	var all []sprout.StepLimit
	for _, step := range SiteSteps(kind) {
		at := slices.IndexFunc(limitRules, func(r limitRule) bool { return r.step == step })
		if at >= 0 {
			all = append(all, stepLimit(limitRules[at], b))
		}
	}
	return all
}

func stepLimit(r limitRule, b Basis) sprout.StepLimit {
	for _, set := range b.Set {
		if set.Step == r.step {
			return limited(r.step, time.Duration(set.Seconds)*time.Second, sprout.LimitSet, fmt.Sprintf("for %s, set by %s", b.Model, set.By))
		}
	}
	limit, from, why := r.usual, sprout.LimitUsual, "the usual for every model"
	if r.sized != nil {
		if sized, of := r.sized(b.Size); sized > 0 {
			limit, from, why = sized, sprout.LimitSize, "for "+of
		}
	}
	past := b.Past[r.step]
	if raised := min(timesP95*past.P95, mostOfUsual*limit).Round(time.Second); past.Runs >= leastRuns && raised > limit {
		limit, from = raised, sprout.LimitHistory
		why = fmt.Sprintf("%d times what 95 of 100 past runs took on %s", timesP95, b.Model)
		if raised < timesP95*past.P95.Round(time.Second) {
			why = fmt.Sprintf("as long as history may raise it: past runs took long on %s", b.Model)
		}
	}
	return limited(r.step, limit, from, why)
}

func limited(step string, d time.Duration, from sprout.LimitOrigin, why string) sprout.StepLimit {
	d = min(max(d, LeastLimit), LongestLimit)
	return sprout.StepLimit{Step: step, Seconds: int64(d / time.Second), From: from, Why: why}
}

// SiteSteps names the steps of a kind of site work, in their order.
func SiteSteps(kind string) []string {
	var names []string
	for _, d := range SiteDefinitions[struct{}](nil, Limits{}) {
		for _, step := range d.Steps {
			if d.Kind == kind {
				names = append(names, step.Name)
			}
		}
	}
	return names
}
