package ramdisk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sprout"
)

// The pauses between tries double from the first to the last.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 10 * time.Second
	// refusedPause is the last one where the agent refuses the token: the boot
	// attempt is over, and nothing but a new boot brings another token.
	refusedPause = 5 * time.Minute
	// orderTimeout is longer than the agent holds a request for an order.
	orderTimeout  = 40 * time.Second
	reportTimeout = 15 * time.Second
)

// A Client speaks the ramdisk's protocol with a site's agent.
type Client struct {
	URL   string // of the agent: http://10.0.0.1:8080
	Token string // of this boot attempt
	HTTP  *http.Client
	Log   *slog.Logger
}

// Hello says that the ramdisk runs, until the agent has heard it.
func (c *Client) Hello(ctx context.Context, h sprout.Hello) error {
	return c.until(ctx, "say hello", func() error {
		return c.post(ctx, "/ramdisk/hello", h)
	})
}

// Order waits for the order that follows the one named after; empty: for the
// first.
func (c *Client) Order(ctx context.Context, after string) (order sprout.Order, err error) {
	for order.ID == "" && err == nil {
		err = c.until(ctx, "ask for an order", func() error {
			order = sprout.Order{}
			return c.ask(ctx, after, &order)
		})
	}
	return order, err
}

// Rest is Order for a machine that waits for a deploy: it ends where the agent refuses
// the token, for then none can come in this boot. The error says so.
func (c *Client) Rest(ctx context.Context, after string) (order sprout.Order, err error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	for order.ID == "" && err == nil {
		err = c.until(ctx, "ask for an order", func() error {
			order = sprout.Order{}
			err := c.ask(ctx, after, &order)
			if denied(err) {
				end(err)
			}
			return err
		})
	}
	if err != nil {
		err = context.Cause(ctx)
	}
	return order, err
}

func (c *Client) ask(ctx context.Context, after string, order *sprout.Order) error {
	return c.call(ctx, orderTimeout, http.MethodGet, "/ramdisk/order?after="+url.QueryEscape(after), nil, order)
}

// Report sends the result of an order until the agent has it, or says that it
// will never want it (a conflict, or gone).
func (c *Client) Report(ctx context.Context, r sprout.Report) error {
	return c.until(ctx, "report", func() error {
		err := c.post(ctx, "/ramdisk/report", r)
		var refusal *statusError
		if errors.As(err, &refusal) && refusal.final() {
			c.Log.Error("the agent does not want this report", "order", r.Order, "why", err)
			return nil
		}
		return err
	})
}

// TryReport sends a report once; progress that is lost costs nothing.
func (c *Client) TryReport(ctx context.Context, r sprout.Report) {
	if err := c.post(ctx, "/ramdisk/report", r); err != nil && ctx.Err() == nil {
		c.Log.Warn("cannot report progress", "order", r.Order, "error", err)
	}
}

// askPause is how long a machine that waits for its turn pauses where the agent
// did not hold its request.
const askPause = time.Second

// Image asks for an image's stored bytes from the byte at on, which the caller
// reads and closes. Where it is not the machine's turn to download, told is called
// with its place, and the agent asked again, until it is.
func (c *Client) Image(ctx context.Context, path string, at int64, told func(sprout.Turn)) (*http.Response, error) {
	for {
		began := time.Now()
		resp, turn, err := c.image(ctx, path, at)
		if err != nil || turn == nil {
			return resp, err
		}
		told(*turn)
		if err := sprout.Pause(ctx, askPause-time.Since(began)); err != nil {
			return nil, err
		}
	}
}

// image asks once. A turn says that the bytes are to be asked for again.
func (c *Client) image(ctx context.Context, path string, at int64) (*http.Response, *sprout.Turn, error) {
	req, err := c.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Prefer", "respond-async")
	if at > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", at))
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusPartialContent && at > 0:
		return resp, nil, nil
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		return nil, nil, &statusError{resp.StatusCode, path}
	}
	var turn sprout.Turn
	err = json.NewDecoder(io.LimitReader(resp.Body, 4<<10)).Decode(&turn)
	return nil, &turn, err
}

// Refused tells whether the agent's answer will be the same when it is asked again.
func Refused(err error) bool {
	var status *statusError
	return errors.As(err, &status) && status.status/100 == 4 && status.status != http.StatusTooManyRequests
}

// until repeats do with growing pauses; it fails only when the context ends.
func (c *Client) until(ctx context.Context, what string, do func() error) error {
	for pause := firstPause; ; pause *= 2 {
		err := do()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			return nil
		}
		pause = min(pause, longest(err))
		c.Log.Warn("cannot "+what+"; trying again", "error", err, "in", pause)
		if err := sprout.Pause(ctx, pause); err != nil {
			return err
		}
	}
}

// longest is the longest pause after such an error.
func longest(err error) time.Duration {
	if denied(err) {
		return refusedPause
	}
	return lastPause
}

// denied tells whether the agent refuses the token.
func denied(err error) bool {
	var refusal *statusError
	return errors.As(err, &refusal) && (refusal.status == http.StatusUnauthorized || refusal.status == http.StatusForbidden)
}

func (c *Client) post(ctx context.Context, path string, body any) error {
	return c.call(ctx, reportTimeout, http.MethodPost, path, body, nil)
}

// call sends one request. An answer without content leaves out as it is.
func (c *Client) call(ctx context.Context, timeout time.Duration, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(raw)
	}
	req, err := c.request(ctx, method, path, body)
	if err != nil {
		return err
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 400))
		return &statusError{resp.StatusCode, strings.TrimSpace(string(text))}
	}
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

func (c *Client) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// A statusError is an answer of the agent that is no success.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("the agent answers %d %s: %s", e.status, http.StatusText(e.status), e.text)
}

func (e *statusError) final() bool {
	return e.status == http.StatusConflict || e.status == http.StatusGone || e.status == http.StatusUnprocessableEntity
}
