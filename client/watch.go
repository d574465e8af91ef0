package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"
	"math/rand/v2"
	"reflect"
	"time"

	"sprout"
	"sprout/api"
)

const (
	silence      = 45 * time.Second // three heartbeats: a stream without any is dead
	firstPause   = 200 * time.Millisecond
	longestPause = 15 * time.Second
	longestLine  = 32 << 20
)

// Watch yields what changes, from now on or after in.LastEventID, until ctx
// ends. A connection that breaks is made anew where it broke: nothing is lost or
// told twice. The first event of a stream that begins anew is Opened; what is
// listed then, and kept up with later events, is always right. Reset means the
// same of one that was away for too long. It ends with an error if the first
// connection fails, or when the server refuses to go on (Denied, Invalid).
func (c *Client) Watch(ctx context.Context, in api.WatchEvents) iter.Seq2[sprout.WatchEvent, error] {
	return func(yield func(sprout.WatchEvent, error) bool) {
		pause, first := firstPause, true
		for ctx.Err() == nil {
			was := in.LastEventID
			goOn, err := c.watchOnce(ctx, &in, yield)
			if !goOn || ctx.Err() != nil {
				return
			}
			if err != nil && (first || sprout.KindOf(err) != sprout.Unavailable) {
				yield(sprout.WatchEvent{}, err)
				return
			}
			if first = false; in.LastEventID != was { // it came further
				pause = firstPause
			}
			// Many that were cut off together do not come back together.
			if sprout.Pause(ctx, pause/2+rand.N(pause)) != nil {
				return
			}
			pause = min(2*pause, longestPause)
		}
	}
}

// watchOnce reads one connection to its end and notes in.LastEventID; goOn is
// false once nobody wants more.
func (c *Client) watchOnce(ctx context.Context, in *api.WatchEvents, yield func(sprout.WatchEvent, error) bool) (goOn bool, err error) {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	request, err := newRequest(within, c, api.EventWatch.Spec(), reflect.ValueOf(*in))
	if err != nil {
		return true, err
	}
	request.Header.Set("Accept", "text/event-stream")
	if in.LastEventID != "" {
		request.Header.Set("Last-Event-ID", in.LastEventID)
	}
	quiet := time.AfterFunc(silence, cancel)
	defer quiet.Stop()
	answer, err := c.do(request)
	if err != nil && within.Err() != nil {
		err = sprout.Errorf(sprout.Unavailable, "cannot watch: the control plane at %s does not answer", c.base)
	}
	if err != nil {
		return true, err
	}
	defer answer.Body.Close() // cut off: there is no end to read to
	events := newEventReader(answer.Body, func() { quiet.Reset(silence) })
	for {
		var e sprout.WatchEvent
		if e.ID, err = events.next(&e); err != nil {
			return true, nil // it goes on where it broke
		}
		if e.ID != "" {
			in.LastEventID = e.ID
		}
		if e.What == sprout.Resume {
			return true, nil
		}
		if !yield(e, nil) {
			return false, nil
		}
	}
}

// An eventReader reads server-sent events (HTML standard, section 9.2.6).
type eventReader struct {
	lines *bufio.Scanner
	alive func() // called for every line
}

func newEventReader(r io.Reader, alive func()) *eventReader {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), longestLine)
	return &eventReader{lines, alive}
}

// next reads the data of the next event that is complete, and returns its id. One
// that is cut off is none.
func (r *eventReader) next(event any) (id string, err error) {
	var data []byte
	for r.lines.Scan() {
		r.alive()
		line := r.lines.Bytes()
		if len(line) == 0 {
			if data == nil {
				continue
			}
			return id, json.Unmarshal(data, event)
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "id":
			id = string(value)
		case "data":
			data = append(data, value...)
		}
	}
	if err = r.lines.Err(); err == nil {
		err = io.ErrUnexpectedEOF
	}
	return "", err
}
