package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sprout"
	"sprout/api"
	"sprout/api/apitest"
	"sprout/server"
)

// fewRequests is how many requests are made of the ordinary suite; `make
// test-api` makes 20,000.
const fewRequests = 5000

// Requests made from the document, and broken ones, are answered as it says: no
// 5xx, no status that it does not know, no body that breaks its schema (which
// the edge of every server of a test looks at).
func TestGeneratedRequests(t *testing.T) {
	requests, seed := uint64(fewRequests), rand.Uint64()
	for name, to := range map[string]*uint64{"SPROUT_REQUESTS": &requests, "SPROUT_SEED": &seed} {
		if given := os.Getenv(name); given != "" {
			*to = must(strconv.ParseUint(given, 10, 64))(t)
		}
	}
	t.Logf("SPROUT_SEED=%d SPROUT_REQUESTS=%d", seed, requests)
	p, _, db := populated(t, func(c *server.Config) { c.Limits.AddressRate, c.Limits.TokenRate = -1, -1 }) // most have no good token
	g := newGuesser(t, p)
	for i := range 40 { // so that each operation finds some that it may be done to
		state := []string{"discovered", "registered", "ready", "allocated", "deployed", "broken"}[i%6]
		name := fmt.Sprintf("%s-%d", state, i)
		p.machine(t, "lon1", name, fmt.Sprintf("52:54:01:00:00:%02x", i))
		if _, err := db.Exec(t.Context(), `UPDATE machine SET state = $1, owner = 'admin' WHERE name = $2`, state, name); err != nil {
			t.Fatal(err)
		}
		g.known["machine"] = append(g.known["machine"], name)
	}
	id := string(sprout.NewID[sprout.ProblemID](sprout.PrefixProblem))
	must(db.Exec(t.Context(), `
		INSERT INTO problem (id, site, subject, name, code, severity, reason, evidence, remedy)
		SELECT $1, id, id, name, 'facts-missing', 'critical', 'a reason', 'evidence', 'a remedy' FROM site LIMIT 1`, id))(t)
	g.known["problem"] = []string{id}
	var next atomic.Uint64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for n := next.Add(1); n <= requests && !t.Failed(); n = next.Add(1) {
				g.try(t, n, g.generator.Request(seed, n))
			}
		})
	}
	group.Wait()
	if t.Failed() {
		return
	}
	g.look(t, requests)
}

// A guesser sends generated requests, and learns what exists from the answers.
type guesser struct {
	plane     plane
	generator *apitest.Generator
	web       *http.Client

	mu    sync.Mutex
	known map[string][]string // ids and names by noun
	count map[string]map[int]int
}

func newGuesser(t *testing.T, p plane) *guesser {
	t.Helper()
	d, err := apitest.Open()
	if err != nil {
		t.Fatal(err)
	}
	g := &guesser{
		plane: p, web: &http.Client{Timeout: 30 * time.Second}, count: map[string]map[int]int{},
		known: map[string][]string{
			"site": {"lon1"}, "agent": {"lon1"}, "network": {"n1"}, "address": {"10.0.0.9", "10.0.0.1", "10.0.0.2", "10.0.0.3"}, "subnet": {"lon1/n1", "10.0.0.0/24"}, "machine": {"m1", "m2", "lon1/m1"}, "image": {"i1"},
			"allocation": {"alc_none"}, "quota": {"shop"}, "rule": {"r1"}, "alias": {"none"}, "model": {"R1"}, "test": {"disk-read", "disk-speed"}, "record": {"1", "2", "3"}, "dnsrecord": {"rec_none"}, "dhcpoption": {"opt_none"}, "option": {"pcode", "tcode", "224"}, "dnskey": {"lon1/k1"}, "attempt": {"latest"}, "workflow": {"w"}, "token": {"none"},
		},
	}
	g.web.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	g.generator = &apitest.Generator{Document: d, Value: g.value, Weight: func(id string) int {
		switch id {
		case "events", "audit-export", "audit-verify", "machine-bulk": // each takes long
			return 2
		case "agent-delete", "image-delete", "network-delete", "subnet-delete", "site-delete", "machine-delete": // what is gone answers 404
			return 2
		}
		return 10
	}}
	g.generator.Request(0, 0) // from here on it is only read
	return g
}

// value knows what exists, and what is right where a schema does not say it.
func (g *guesser) value(r *rand.Rand, name string) any {
	switch name {
	case "all":
		return r.IntN(20) == 0
	case "for":
		return 1
	case "name":
		if r.IntN(4) > 0 {
			return fmt.Sprintf("g%x", r.Uint64())
		}
		return nil
	case "ip", "prefix", "count": // whichever is free
		return nil
	case "cidr":
		return fmt.Sprintf("10.%d.%d.0/24", r.IntN(250), r.IntN(250))
	case "macs":
		return fmt.Sprintf("52:54:00:%02x:%02x:%02x", r.IntN(256), r.IntN(256), r.IntN(256))
	case "bootModes":
		return []string{"bios", "uefi"}[r.IntN(2)]
	case "machines":
		name = "machine"
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	known := g.known[name]
	if len(known) == 0 || r.IntN(8) == 0 {
		return nil
	}
	if name == "machine" && r.IntN(2) == 0 {
		return known[len(known)-1]
	}
	return known[r.IntN(len(known))]
}

// try sends a request and looks at its answer.
func (g *guesser) try(t *testing.T, n uint64, r apitest.Request) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if r.Operation == "events" {
		ctx, cancel = context.WithTimeout(ctx, 2*time.Second) // it may be asked to go on
		defer cancel()
	}
	at := must(url.Parse(g.plane.URL()))(t)
	out := (&http.Request{Method: r.Method, URL: at, Header: r.Header, Host: at.Host, Body: io.NopCloser(bytes.NewReader(r.Body)), ContentLength: int64(len(r.Body))}).WithContext(ctx)
	out.URL.Opaque = "//" + at.Host + r.Target // as it is, however badly encoded
	if len(r.Body) == 0 {
		out.Body = nil
	}
	if _, given := r.Header["Authorization"]; !given {
		r.Header.Set("Authorization", "Bearer "+g.plane.token)
	}
	if r.Operation == "token-revoke" && strings.HasPrefix("admin", strings.TrimPrefix(r.Target, "/v1/tokens/")) {
		return // the next would all be 401
	}
	answer, err := g.web.Do(out)
	if err != nil {
		g.lost(t, n, r, err)
		return
	}
	defer answer.Body.Close() // read to its end
	raw, err := io.ReadAll(answer.Body)
	if err != nil && r.Operation != "events" && !unreadable(r.Target) {
		t.Errorf("%s: %v", told(n, r), err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.count[r.Operation] == nil {
		g.count[r.Operation] = map[int]int{}
	}
	g.count[r.Operation][answer.StatusCode]++
	// No agent runs here that could be asked, and no server of images.
	asks := r.Operation == "dhcp-explain" || r.Operation == "address-probe" || r.Operation == "image-fetch" || r.Operation == "bmc-crawl"
	away := answer.StatusCode == http.StatusServiceUnavailable && asks
	if answer.StatusCode >= 500 && !away {
		t.Errorf("%s: %d %s", told(n, r), answer.StatusCode, raw)
	}
	if answer.StatusCode < 300 && r.Broken == "" {
		g.learn(raw)
	}
}

// lost tells a request that could not be sent, or a stream without end, from a
// server that went away.
func (g *guesser) lost(t *testing.T, n uint64, r apitest.Request, err error) {
	var network net.Error
	switch {
	case strings.Contains(err.Error(), "invalid header field"), strings.Contains(err.Error(), "invalid method"):
	case unreadable(r.Target): // net/http answers that by itself, before it has read the headers to their end
	case r.Operation == "events" && errors.As(err, &network) && network.Timeout():
	default:
		t.Errorf("%s: %v", told(n, r), err)
	}
}

func unreadable(target string) bool {
	_, err := url.ParseRequestURI(target)
	return err != nil
}

func told(n uint64, r apitest.Request) string {
	return fmt.Sprintf("request %d (%s; broken: %s) %s %.300s %.600v %.1000q", n, r.Operation, r.Broken, r.Method, r.Target, r.Header, r.Body)
}

// nounOf says what an id is of.
var nounOf = map[string]string{
	"sit": "site", "agt": "agent", "net": "network", "mch": "machine", "img": "image", "wfl": "workflow", "tok": "token", "att": "attempt",
	"prb": "problem",
}

// learn keeps the names and ids in an answer.
func (g *guesser) learn(raw []byte) {
	type thing struct{ ID, Name string }
	var one struct {
		thing
		Items    []thing
		Workflow thing
	}
	if json.Unmarshal(raw, &one) != nil {
		return
	}
	for _, it := range append(one.Items, one.thing, one.Workflow) {
		prefix, _, _ := strings.Cut(it.ID, "_")
		noun, ok := nounOf[prefix]
		if !ok {
			continue
		}
		if noun == "problem" {
			it.Name = "" // of what it is about
		}
		for _, ref := range []string{it.ID, it.Name} {
			if ref != "" && it.Name != "admin" && !slices.Contains(g.known[noun], ref) && len(g.known[noun]) < 200 {
				g.known[noun] = append(g.known[noun], ref)
			}
		}
	}
}

// rare are the operations that need more than one request before them, a site
// that is at work, or an OpenID provider.
var rare = []string{"agent-enrol", "boot-show", "login-create", "machine-allocate", "machine-deploy", "workflow-retry"}

// enoughTries of an operation, valid and broken, should have had success once.
const enoughTries = 150

// look sees to it that the requests reached what they are made for.
func (g *guesser) look(t *testing.T, requests uint64) {
	all := map[int]int{}
	var missed []string
	for operation, statuses := range g.count {
		good, tried := 0, 0
		for status, times := range statuses {
			all[status] += times
			tried += times
			if status < 300 {
				good += times
			}
		}
		if good == 0 && tried >= enoughTries && !slices.Contains(rare, operation) {
			missed = append(missed, fmt.Sprintf("%s: %v", operation, statuses))
		}
	}
	// Some may: of a kind of thing the requests may have deleted the last one early.
	if len(missed) > len(api.Operations())/10 {
		t.Errorf("%d operations never succeeded: %s", len(missed), strings.Join(missed, "; "))
	}
	t.Logf("answers: %v", all)
	if len(g.count) != len(api.Operations()) && requests >= fewRequests {
		t.Errorf("%d operations were asked for", len(g.count))
	}
}
