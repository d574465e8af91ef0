package tftp

import (
	"net/netip"
	"time"
)

// A Transfer is how the sending of one file ended.
type Transfer struct {
	Client  netip.AddrPort
	File    string
	Bytes   int64 // acknowledged
	Size    int64 // of the file
	Elapsed time.Duration
	// Outcome is done, aborted (the client said so, as firmware does that only
	// wanted the size), timeout or failed.
	Outcome string
	Detail  string
}
