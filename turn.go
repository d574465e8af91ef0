package sprout

import "fmt"

// A Turn is where a machine stands among those that download an image from
// their site's agent. It is the body of the agent's answer 202 to a ramdisk that
// asked by "Prefer: respond-async" (RFC 7240) and is to ask again.
type Turn struct {
	Waits       bool `json:"waits"`       // its turn has not come
	Downloading int  `json:"downloading"` // machines whose turn it is
	Before      int  `json:"before"`      // machines that come before it
}

// String says what a machine waits for, in words that follow "waits for".
func (t Turn) String() string {
	do, before := "do", "it is next"
	if t.Downloading == 1 {
		do = "does"
	}
	switch {
	case t.Before == 1:
		before = "1 is before it"
	case t.Before > 1:
		before = fmt.Sprintf("%d are before it", t.Before)
	}
	return fmt.Sprintf("its turn to download: %d %s, %s", t.Downloading, do, before)
}
