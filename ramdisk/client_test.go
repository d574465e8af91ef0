package ramdisk_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sprout"
	"sprout/ramdisk"
)

// answers is an agent that answers every request with a status, or not at all.
type answers struct {
	status int
	asked  int
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked++
	if a.status == 0 {
		return nil, errors.New("no route to host")
	}
	return &http.Response{StatusCode: a.status, Body: io.NopCloser(strings.NewReader("cannot")), Request: r}, nil
}

// An agent that is away is asked every ten seconds: it may come back. One that
// refuses the token is asked less and less: only a new boot brings another.
func TestARefusedClientLeavesTheAgentAlone(t *testing.T) {
	for _, test := range []struct {
		status      int
		least, most int // requests in an hour
	}{{0, 300, 400}, {http.StatusServiceUnavailable, 300, 400}, {http.StatusForbidden, 12, 30}, {http.StatusUnauthorized, 12, 30}} {
		synctest.Test(t, func(t *testing.T) {
			agent := &answers{status: test.status}
			c := ramdisk.Client{URL: "http://agent", Token: "t", HTTP: &http.Client{Transport: agent}, Log: slog.New(slog.DiscardHandler)}
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			if err := c.Hello(ctx, sprout.Hello{}); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			if agent.asked < test.least || agent.asked > test.most {
				t.Errorf("answered %d, it asked %d times in an hour", test.status, agent.asked)
			}
		})
	}
}
