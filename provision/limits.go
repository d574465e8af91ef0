package provision

import "time"

// How long each step of the centre may take before it is a failure, and a site's
// work as a whole. Each is longer than what happens inside it and shorter than
// the work around it.
const (
	shortStep    = 2 * time.Minute // one that only writes the store or asks a provider; longer than an engine's claim
	commissionBy = time.Hour
	deployBy     = 3 * time.Hour
	releaseBy    = 14 * time.Hour

	stopSite = 10 * time.Minute // for a site to undo cancelled work
)

// Limits are how long each step of a site may take before it is a failure. A
// zero field is the usual one.
type Limits struct {
	TakeMachine time.Duration // an older run must unwind first
	FetchImage  time.Duration
	Power       time.Duration
	BootRamdisk time.Duration // large servers take that long in their firmware
	Order       time.Duration // inspect, test
	WriteImage  time.Duration
	EraseDisks  time.Duration
	PhoneHome   time.Duration

	// A ramdisk that works speaks every half second, one that waits every 25 s.
	// After Gone without a word it is given up.
	Gone time.Duration
	// Look is how often a waiting step looks whether the machine still lives.
	Look time.Duration
}

// usual are the limits for machines of any size.
var usual = Limits{
	TakeMachine: 10 * time.Minute, FetchImage: 30 * time.Minute, Power: 3 * time.Minute, BootRamdisk: 15 * time.Minute,
	Order: 15 * time.Minute, WriteImage: time.Hour, EraseDisks: 12 * time.Hour, PhoneHome: 30 * time.Minute,
	Gone: 2 * time.Minute, Look: 5 * time.Second,
}

func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		field *time.Duration
		usual time.Duration
	}{
		{&l.TakeMachine, usual.TakeMachine}, {&l.FetchImage, usual.FetchImage}, {&l.Power, usual.Power},
		{&l.BootRamdisk, usual.BootRamdisk}, {&l.Order, usual.Order}, {&l.WriteImage, usual.WriteImage},
		{&l.EraseDisks, usual.EraseDisks}, {&l.PhoneHome, usual.PhoneHome}, {&l.Gone, usual.Gone}, {&l.Look, usual.Look},
	} {
		if *f.field == 0 {
			*f.field = f.usual
		}
	}
	return l
}
