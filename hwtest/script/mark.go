package script

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"sprout"
	"sprout/hwtest"
)

// markEvery is how often it is looked whether a test has said how far it is.
const markEvery = 500 * time.Millisecond

// keepMark gives a test back what it said of how far it was before the machine
// restarted, in the file that it writes that to, and tells on what it writes there
// from now on. The returned function ends that, and waits for it.
func keepMark(name string, d hwtest.Device) (stop func(), err error) {
	if d.Mark != "" {
		if err := os.WriteFile(name, []byte(d.Mark), 0o600); err != nil {
			return nil, err
		}
	}
	if d.SetMark == nil {
		return func() {}, nil
	}
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(markEvery)
		defer tick.Stop()
		for last := d.Mark; ; {
			select {
			case <-over:
				return
			case <-tick.C:
			}
			if now := readMark(name); now != "" && now != last {
				last = now
				d.SetMark(now)
			}
		}
	})
	return func() { close(over); wg.Wait() }, nil
}

// readMark reads what the test has written, as far as that is whole lines: it may be
// writing. What is too long is no mark.
func readMark(name string) string {
	f, err := os.Open(name)
	if err != nil {
		return "" // it says nothing
	}
	defer f.Close() //nolint:errcheck // only read
	raw, err := io.ReadAll(io.LimitReader(f, sprout.MostMark+1))
	if err != nil && !errors.Is(err, io.EOF) || len(raw) > sprout.MostMark || !bytes.HasSuffix(raw, []byte("\n")) {
		return ""
	}
	return string(raw)
}
