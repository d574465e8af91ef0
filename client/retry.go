package client

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"sprout"
)

const (
	tries    = 6                      // of one request, the first included
	firstLag = 200 * time.Millisecond // before the second try; each further one waits twice as long
	longest  = 5 * time.Second        // that the server may make it wait
)

type ifMatchKey struct{}

// IfMatch makes the calls of ctx on one resource conditional: they are carried
// out only if it still has the entity tag, or the revision, in quotes.
func IfMatch(ctx context.Context, tag string) context.Context {
	return context.WithValue(ctx, ifMatchKey{}, tag)
}

// condition sets the headers by which a request is carried out only once, and
// only on what its sender has seen.
func condition(request *http.Request) {
	if request.Method == http.MethodPost && request.Header.Get("Idempotency-Key") == "" {
		request.Header.Set("Idempotency-Key", sprout.NewSecret())
	}
	if tag, ok := request.Context().Value(ifMatchKey{}).(string); ok && request.Method != http.MethodGet {
		request.Header.Set("If-Match", tag)
	}
}

// send sends a request, again where its connection broke: the server may have
// carried it out, but answers the same to the same key. What changes without a
// key, and a body that cannot be had again, is sent once. A server that cannot
// be reached in the first place is not waited for. What was refused because too
// much is asked was not carried out: it is sent again when the server says.
func (c *Client) send(request *http.Request) (*http.Response, error) {
	whole := request.Body == nil || request.GetBody != nil
	again := whole && (request.Method == http.MethodGet || request.Header.Get("Idempotency-Key") != "")
	lag := firstLag
	for try := 1; ; try++ {
		answer, err := c.http.Do(request)
		if try == tries || !whole || err != nil && !again {
			return answer, err
		}
		wait := lag
		switch {
		case err == nil:
			later, after := askLater(answer)
			if !later || answer.StatusCode == http.StatusConflict && !again {
				return answer, nil
			}
			_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10))
			_ = answer.Body.Close()
			wait = max(lag, after)
		case request.Context().Err() != nil || try == 1 && unreached(err):
			return nil, err
		}
		if err := sprout.Pause(request.Context(), wait); err != nil {
			return nil, err
		}
		if request.GetBody != nil {
			if request.Body, err = request.GetBody(); err != nil {
				return nil, err
			}
		}
		lag *= 2
	}
}

// askLater tells whether the server still carries out the request that was sent
// before with the same key, or is asked too often, and how long to wait.
func askLater(answer *http.Response) (bool, time.Duration) {
	after, err := strconv.Atoi(answer.Header.Get("Retry-After"))
	later := answer.StatusCode == http.StatusConflict || answer.StatusCode == http.StatusTooManyRequests
	return later && err == nil, min(time.Duration(after)*time.Second, longest)
}

// unreached tells whether nothing was sent at all.
func unreached(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
