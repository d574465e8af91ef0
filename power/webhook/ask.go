package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"sprout"
	"sprout/power"
)

// What a program is asked to do. It may be asked again for what it has done.
const (
	DoStatus = "status" // say the power
	DoPower  = "power"  // turn it on or off, hard
	DoBoot   = "boot"   // choose what the next start boots from, and no other start
)

// A Request is the body of a POST to the webhook.
type Request struct {
	Do      string            `json:"do"`
	Machine string            `json:"machine"`
	System  string            `json:"system,omitempty"`
	Power   sprout.PowerState `json:"power,omitempty"`  // of DoPower: on or off
	Device  power.BootDevice  `json:"device,omitempty"` // of DoBoot: network or disk
	Mode    sprout.BootMode   `json:"mode,omitempty"`   // of DoBoot: bios, uefi, or absent
}

// An Answer is what the webhook says, with status 200. Another status is an
// error, of which it may say why.
type Answer struct {
	Power  sprout.PowerState `json:"power"`            // on, off or unknown
	Device power.BootDevice  `json:"device,omitempty"` // of DoBoot: what the next start boots from
	Error  string            `json:"error,omitempty"`
}

// The headers by which a webhook knows who asks.
const (
	TimeHeader      = "Sprout-Time"      // seconds since 1970
	SignatureHeader = "Sprout-Signature" // Sign's
)

// Sign is the signature of a body at a time: the HMAC-SHA256 (RFC 2104), in hex, of
// the time header, a dot and the body.
func Sign(secret, at string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(at + "."))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// maxAnswer is how many bytes of an answer are read.
const maxAnswer = 64 << 10

// ask posts one request. Failures are *sprout.Failure.
func (p *Driver) ask(ctx context.Context, req Request) (Answer, error) {
	req.Machine, req.System = p.config.Machine, p.config.System
	body, err := json.Marshal(req)
	if err != nil {
		return Answer{}, fmt.Errorf("cannot encode a request to the webhook: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, p.config.RequestTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.config.URL, bytes.NewReader(body))
	if err != nil {
		return Answer{}, fmt.Errorf("cannot make a request to the webhook: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	if p.config.Secret != "" {
		at := strconv.FormatInt(p.config.Now().Unix(), 10)
		r.Header.Set(TimeHeader, at)
		r.Header.Set(SignatureHeader, Sign(p.config.Secret, at, body))
	}
	res, err := p.http.Do(r)
	if err != nil {
		return Answer{}, p.unreachable(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return Answer{}, p.unreachable(err)
	}
	return p.understand(req, res, raw)
}

func (p *Driver) unreachable(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // the whole has the query
	}
	return p.fail(sprout.BMCUnreachable, "cannot reach the webhook", p.at+": "+err.Error())
}

// understand reads an answer, or names what is wrong with it.
func (p *Driver) understand(req Request, res *http.Response, raw []byte) (Answer, error) {
	var a Answer
	bad := json.Unmarshal(raw, &a)
	evidence := fmt.Sprintf("POST %s, %s: %s", p.at, req.Do, res.Status)
	if a.Error != "" {
		evidence += fmt.Sprintf(": %.300s", a.Error)
	}
	switch {
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		return a, p.fail(sprout.BMCDenied, "cannot use the webhook: it refuses who asks", evidence)
	case res.StatusCode != http.StatusOK:
		return a, p.fail(sprout.BMCFailed, fmt.Sprintf("cannot do it: the webhook answered %d", res.StatusCode), evidence)
	case bad != nil:
		return a, p.fail(sprout.BMCFailed, "cannot read the webhook's answer: it is not the JSON it should be", evidence+": "+bad.Error())
	case a.Power != sprout.PowerOn && a.Power != sprout.PowerOff && a.Power != sprout.PowerUnknown:
		return a, p.fail(sprout.BMCFailed, "cannot read the webhook's answer: its power must be on, off or unknown", fmt.Sprintf("%s: power %.40q", evidence, a.Power))
	}
	return a, nil
}
