package sprout

import "time"

// A Trouble is something wrong with the process that says so, or with what it
// stands on. It is a problem of that process until the process no longer says it.
type Trouble struct {
	Code     Code      `json:"code"`
	Reason   string    `json:"reason"`
	Evidence string    `json:"evidence,omitempty"`
	Since    time.Time `json:"since"` // by the clock of who says it
}

// MostTroubles bounds what a heartbeat may say.
const MostTroubles = 16

// OwnCodes are the codes that a process may say of itself. A heartbeat that no
// longer has one of them closes its problem; others are never taken from it.
var OwnCodes = []Code{DiskFull, ClockWrong, BusFull, DownloadsStuck, CertificateExpired, KeaUnreachable, KeaRefused, KeaChanged, RogueDHCP, RecordRefused}
