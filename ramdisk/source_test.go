package ramdisk

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sprout"
)

// A link is an agent that is asked for an image: what it answers depends on the
// time since the first request.
type link func(since time.Duration) (status int, body string)

type linked struct {
	answer link
	began  time.Time
	asked  int
}

func (l *linked) RoundTrip(r *http.Request) (*http.Response, error) {
	if l.asked++; l.asked == 1 {
		l.began = time.Now()
	}
	status, body := l.answer(time.Since(l.began))
	if status == 0 {
		return nil, errors.New("no route to host")
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}, Request: r}, nil
}

const oneBefore = `{"waits":true,"downloading":2,"before":1}`

// A link that is cut while the machine waits for its turn costs only time, as long
// as it lasts; without a word of the agent's a download is given up, and so is one
// that the agent refuses.
func TestALinkCutDuringTheWait(t *testing.T) {
	for _, row := range []struct {
		name        string
		answer      link
		want        string // of the image; else it fails
		least, most int    // requests
	}{
		{"cut for an hour", func(since time.Duration) (int, string) {
			switch {
			case since < time.Minute, since > time.Hour && since < 61*time.Minute:
				return http.StatusAccepted, oneBefore
			case since < time.Hour:
				return 0, ""
			}
			return http.StatusOK, "image"
		}, "image", 400, 600},
		{"an agent that is started anew", func(since time.Duration) (int, string) {
			switch {
			case since < time.Minute:
				return http.StatusAccepted, oneBefore
			case since < 10*time.Minute:
				return http.StatusServiceUnavailable, ""
			}
			return http.StatusOK, "image"
		}, "image", 100, 140},
		{"never told to wait", func(time.Duration) (int, string) { return 0, "" }, "", sourceTries, sourceTries},
		{"the attempt is over", func(since time.Duration) (int, string) {
			if since < time.Minute {
				return http.StatusAccepted, oneBefore
			}
			return http.StatusForbidden, ""
		}, "", 60, 62},
		{"an agent of before", func(time.Duration) (int, string) { return http.StatusOK, "image" }, "image", 1, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &linked{answer: row.answer}
				c := &Client{URL: "http://agent", Token: "t", HTTP: &http.Client{Transport: l}, Log: slog.New(slog.DiscardHandler)}
				src := newSource(t.Context(), c, "the image", "/images/x", 5, c.Log)
				defer src.Close()
				var said []string
				src.waits = func(waitsFor string) { said = append(said, waitsFor) }
				err := src.await()
				got := []byte{}
				if err == nil {
					got, err = io.ReadAll(src)
				}
				var failure *sprout.Failure
				if string(got) != row.want || (err == nil) != (row.want != "") || err != nil && (!errors.As(err, &failure) || failure.Code != sprout.ImageUnavailable) {
					t.Errorf("got %q, %v", got, err)
				}
				if l.asked < row.least || l.asked > row.most {
					t.Errorf("it asked %d times, want %d to %d", l.asked, row.least, row.most)
				}
				if len(said) > 2 || len(said) == 2 && (said[0] != "its turn to download: 2 do, 1 is before it" || said[1] != "") {
					t.Errorf("it said %q", said)
				}
			})
		})
	}
}
