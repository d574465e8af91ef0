package redfish

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"sprout"
)

const (
	maxBody     = 4 << 20 // bytes of an answer that we read
	maxTries    = 5       // of a request that the BMC is too busy for, or a GET that broke
	maxPause    = 30 * time.Second
	maxTaskPoll = 600 // looks at one task
)

// A request is one HTTP request to the BMC.
type request struct {
	method, path string
	body         any
	etag         string // If-Match, if not empty
	open         bool   // without authentication
}

// A response is an answer of whatever status.
type response struct {
	what   string // "GET https://host/path: 200 OK", for evidence
	status int
	header http.Header
	body   []byte
}

// call does one request with everything that a BMC may ask of its client: login,
// patience, a second login when the session is gone, and waiting for a task.
// Failures are *sprout.Failure; one that the BMC answered comes with its response.
func (p *Driver) call(ctx context.Context, method, path string, body any, etag string) (*response, error) {
	req := request{method: method, path: path, body: body, etag: etag}
	for try := 0; ; try++ {
		if err := p.login(ctx); err != nil {
			return nil, err
		}
		res, err := p.persist(ctx, req)
		if err != nil {
			return nil, err
		}
		switch {
		case res.status == http.StatusUnauthorized && p.session.token != "" && try == 0:
			p.session.token, p.session.location = "", ""
		case res.status == http.StatusNotFound:
			p.found = found{}
			return res, p.refusal(res)
		case res.status >= 300:
			return res, p.refusal(res)
		case res.status == http.StatusAccepted:
			return p.task(ctx, res)
		default:
			return res, nil
		}
	}
}

// persist repeats a request that the BMC is too busy for (503 and 429, RFC 9110
// section 10.2.3), and a GET whose connection broke.
func (p *Driver) persist(ctx context.Context, req request) (*response, error) {
	for try := 1; ; try++ {
		res, err := p.once(ctx, req)
		wait := time.Duration(try) * p.config.Poll
		switch {
		case err != nil && (req.method != http.MethodGet || try == maxTries || ctx.Err() != nil):
			return nil, err
		case err == nil && res.status != http.StatusServiceUnavailable && res.status != http.StatusTooManyRequests:
			return res, nil
		case err == nil && (try == maxTries || full(res)):
			return res, nil
		case err == nil:
			wait = retryAfter(res.header, wait)
		}
		p.log.Debug("BMC asked for patience", "path", req.path, "try", try, "wait", wait, "err", err)
		if stopped := p.pause(ctx, wait); stopped != nil {
			return nil, p.fail(sprout.BMCUnreachable, "cannot wait for the BMC: "+stopped.Error(), p.base.String()+" was busy")
		}
	}
}

// retryAfter reads Retry-After, in seconds or as a date, up to maxPause.
func retryAfter(h http.Header, otherwise time.Duration) time.Duration {
	value := h.Get("Retry-After")
	wait := otherwise
	if seconds, err := strconv.Atoi(value); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = time.Until(at)
	}
	return min(max(wait, 0), maxPause)
}

// once sends req and reads the whole answer.
func (p *Driver) once(ctx context.Context, req request) (*response, error) {
	ctx, cancel := context.WithTimeout(ctx, p.config.RequestTimeout)
	defer cancel()
	r, err := p.prepare(ctx, req)
	if err != nil {
		return nil, err
	}
	what := req.method + " " + r.URL.String()
	res, err := p.http.Do(r)
	if err != nil {
		return nil, p.unreachable(what, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return nil, p.unreachable(what, err)
	}
	return &response{what + ": " + res.Status, res.StatusCode, res.Header, body}, nil
}

func (p *Driver) prepare(ctx context.Context, req request) (*http.Request, error) {
	at, err := p.resolve(req.path)
	if err != nil {
		return nil, err
	}
	var body io.Reader
	if req.body != nil {
		raw, err := json.Marshal(req.body)
		if err != nil {
			return nil, fmt.Errorf("cannot encode a request to the BMC: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(ctx, req.method, at, body)
	if err != nil {
		return nil, fmt.Errorf("cannot make a request to the BMC: %w", err)
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("OData-Version", "4.0")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if req.etag != "" {
		r.Header.Set("If-Match", req.etag)
	}
	if !req.open {
		p.authenticate(r.Header)
	}
	return r, nil
}

// authenticate says who asks: by the session, or where there is none by the name.
func (p *Driver) authenticate(h http.Header) {
	switch {
	case p.session.token != "":
		h.Set("X-Auth-Token", p.session.token)
	case p.session.basic:
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(p.config.Username+":"+p.config.Password)))
	}
}

// resolve turns a link of the BMC into a URL at the same host. A link to any
// other host is refused: it would get our credentials.
func (p *Driver) resolve(link string) (string, error) {
	u, err := url.Parse(link)
	if err != nil {
		return "", p.fail(sprout.BMCFailed, "cannot follow a link of the BMC", link)
	}
	at := p.base.ResolveReference(u)
	if at.Host != p.base.Host || at.Scheme != p.base.Scheme {
		return "", p.fail(sprout.BMCFailed, "cannot follow a link of the BMC: it leads to another host", link)
	}
	return at.String(), nil
}

func (p *Driver) unreachable(what string, err error) error {
	p.found = found{}
	reason := "cannot reach the BMC at " + p.base.Host
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return p.fail(sprout.BMCUnreachable, reason, what+": "+err.Error())
}

// refusal turns an error answer into a failure with the BMC's own words.
func (p *Driver) refusal(res *response) error {
	evidence := res.what
	if words := extendedError(res.body); words != "" {
		evidence += ": " + words
	}
	code, reason := sprout.BMCFailed, "cannot do it: the BMC answered "+strconv.Itoa(res.status)
	switch res.status {
	case http.StatusUnauthorized:
		code, reason = sprout.BMCDenied, "cannot log in at the BMC: it refuses the user name or password"
	case http.StatusForbidden:
		code, reason = sprout.BMCDenied, "cannot do it: the BMC's user may not"
	}
	return p.fail(code, reason, evidence)
}
