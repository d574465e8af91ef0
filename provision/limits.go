package provision

import "time"

// How long each step may take before it is a failure. Each is longer than what
// happens inside it and shorter than the work around it.
const (
	shortStep    = 2 * time.Minute  // one that only writes the store or asks a provider; longer than an engine's claim
	takeMachine  = 10 * time.Minute // an older run must unwind first
	fetchImage   = 30 * time.Minute
	powerStep    = 3 * time.Minute
	bootRamdisk  = 15 * time.Minute // large servers take that long in their firmware
	orderStep    = 15 * time.Minute
	writeImage   = time.Hour
	eraseDisks   = 12 * time.Hour
	phoneHome    = 30 * time.Minute
	commissionBy = time.Hour
	deployBy     = 3 * time.Hour
	releaseBy    = 14 * time.Hour

	stopSite = 10 * time.Minute // for a site to undo cancelled work

	// A ramdisk that works speaks every half second, one that waits every 25 s.
	// After goneAfter without a word it is given up.
	goneAfter = 2 * time.Minute
	// lookEvery is how often a waiting step looks whether the machine still lives.
	lookEvery = 5 * time.Second
)
