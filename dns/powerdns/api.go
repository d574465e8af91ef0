package powerdns

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"sprout"
)

// answerMost bounds an answer of PowerDNS: a zone of a million records is less.
const answerMost = 256 << 20

// An api is the HTTP API of one PowerDNS (its manual, "Built-in Webserver and
// HTTP API").
type api struct {
	base  string // http://HOST/api/v1/servers/SERVER
	key   string
	takes time.Duration
	http  *http.Client
}

// A zoneInfo is what the API says of a zone.
type zoneInfo struct {
	ID      string  `json:"id,omitempty"`
	Name    string  `json:"name"`
	Kind    string  `json:"kind,omitempty"`
	Account string  `json:"account"`
	Serial  uint32  `json:"serial,omitempty"`
	SOAEdit *string `json:"soa_edit_api,omitempty"`
	Sets    []rrset `json:"rrsets,omitempty"`
}

// An rrset is the records of a name and type.
type rrset struct {
	Name    string    `json:"name"`
	Type    string    `json:"type"`
	TTL     uint32    `json:"ttl"`
	Change  string    `json:"changetype,omitempty"`
	Records []content `json:"records"`
}

type content struct {
	Content  string `json:"content"`
	Disabled bool   `json:"disabled"`
}

// A reason says why PowerDNS cannot be told what to hold, though it is there.
type reason struct{ means, evidence string }

func (r *reason) Error() string { return r.means + ": " + r.evidence }

// readKey reads the key of the API.
func (a *api) readKey(file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return &reason{"The file with the key of PowerDNS's API cannot be read", err.Error()}
	}
	if a.key = strings.TrimSpace(string(raw)); a.key == "" || strings.ContainsFunc(a.key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return &reason{"The file with the key of PowerDNS's API holds no key", file}
	}
	return nil
}

// do asks for the path with in, where that is not nil, and reads the answer into
// out, likewise. Errors are a *reason, or Unavailable: PowerDNS is not there.
func (a *api) do(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, a.takes, fmt.Errorf("no answer within %s", a.takes))
	defer cancel()
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("cannot write a request to PowerDNS: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return fmt.Errorf("cannot make a request to PowerDNS: %w", err)
	}
	request.Header.Set("X-API-Key", a.key)
	request.Header.Set("Content-Type", "application/json")
	answer, err := a.http.Do(request)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return unavailable(method, path, err)
	}
	defer answer.Body.Close() //nolint:errcheck // it is read
	said, err := io.ReadAll(io.LimitReader(answer.Body, answerMost+1))
	switch {
	case err != nil:
		return unavailable(method, path, err)
	case len(said) > answerMost:
		return unavailable(method, path, errors.New("the answer is too long"))
	case answer.StatusCode >= 500:
		return unavailable(method, path, errors.New(words(answer, said)))
	case answer.StatusCode == http.StatusUnauthorized:
		return &reason{"PowerDNS does not accept the key of its API", words(answer, said)}
	case answer.StatusCode >= 300:
		return &reason{"PowerDNS refuses what it is told", method + " " + path + ": " + words(answer, said)}
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(said, out); err != nil {
		return &reason{"What answers is not the API of PowerDNS", method + " " + path + ": " + err.Error()}
	}
	return nil
}

func unavailable(method, path string, err error) error {
	return sprout.Errorf(sprout.Unavailable, "cannot %s %s: %w", method, path, err)
}

// words are what PowerDNS says of its refusal, cut short.
func words(answer *http.Response, said []byte) string {
	var e struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(said, &e) != nil || e.Error == "" {
		e.Error = string(said)
	}
	return answer.Status + " " + strings.ToValidUTF8(e.Error[:min(len(e.Error), 300)], "?")
}

// zones lists the zones, without records.
func (a *api) zones(ctx context.Context) (list []zoneInfo, err error) {
	return list, a.do(ctx, http.MethodGet, "/zones?dnssec=false", nil, &list)
}

// named lists the zones of a name: one, or none.
func (a *api) named(ctx context.Context, name string) (list []zoneInfo, err error) {
	return list, a.do(ctx, http.MethodGet, "/zones?dnssec=false&zone="+url.QueryEscape(name), nil, &list)
}

// create makes a zone. PowerDNS leaves its serial as it is told.
func (a *api) create(ctx context.Context, name, account string) (made zoneInfo, err error) {
	asTold := ""
	in := struct {
		zoneInfo
		Servers []string `json:"nameservers"`
	}{zoneInfo{Name: name, Kind: "Master", Account: account, SOAEdit: &asTold}, []string{}}
	return made, a.do(ctx, http.MethodPost, "/zones", in, &made)
}

// takeOver makes a zone one of ours.
func (a *api) takeOver(ctx context.Context, id, account string) error {
	return a.do(ctx, http.MethodPut, path(id), map[string]string{"account": account, "soa_edit_api": "", "kind": "Master"}, nil)
}

// read returns a zone with its records.
func (a *api) read(ctx context.Context, id string) (z zoneInfo, err error) {
	return z, a.do(ctx, http.MethodGet, path(id), nil, &z)
}

// patch replaces and removes sets, all of one call or none.
func (a *api) patch(ctx context.Context, id string, sets []rrset) error {
	return a.do(ctx, http.MethodPatch, path(id), map[string]any{"rrsets": sets}, nil)
}

func (a *api) remove(ctx context.Context, id string) error {
	return a.do(ctx, http.MethodDelete, path(id), nil, nil)
}

func path(id string) string { return "/zones/" + url.PathEscape(id) }
