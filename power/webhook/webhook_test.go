package webhook_test

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sprout"
	"sprout/power"
	"sprout/power/governor"
	"sprout/power/powertest"
	"sprout/power/webhook"
)

const secret = "correct-horse"

// A hook is an operator's program and the machine that it switches.
type hook struct {
	mu       sync.Mutex
	on       bool
	next     power.BootDevice
	boots    []power.BootDevice
	requests []webhook.Request
	stuck    bool                                     // power is not changed
	deaf     bool                                     // the boot device is not kept
	instead  func(http.ResponseWriter, *http.Request) // answers in its place
}

func (h *hook) power() sprout.PowerState {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state()
}

func (h *hook) state() sprout.PowerState {
	return map[bool]sprout.PowerState{true: sprout.PowerOn, false: sprout.PowerOff}[h.on]
}

func (h *hook) booted() []power.BootDevice {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.boots)
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.instead != nil {
		h.instead(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	want := webhook.Sign(secret, r.Header.Get(webhook.TimeHeader), body)
	if !hmac.Equal([]byte(want), []byte(r.Header.Get(webhook.SignatureHeader))) {
		http.Error(w, `{"error": "the signature is wrong"}`, http.StatusUnauthorized)
		return
	}
	var req webhook.Request
	if err := json.Unmarshal(body, &req); err != nil {
		http.Error(w, `{"error": "no JSON"}`, http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests = append(h.requests, req)
	h.obey(req)
	_ = json.NewEncoder(w).Encode(webhook.Answer{Power: h.state(), Device: h.next})
}

func (h *hook) obey(req webhook.Request) {
	switch {
	case req.Do == webhook.DoBoot && !h.deaf:
		h.next = req.Device
	case req.Do == webhook.DoPower && !h.stuck:
		if req.Power == sprout.PowerOn && !h.on {
			h.boots, h.next = append(h.boots, h.next), ""
		}
		h.on = req.Power == sprout.PowerOn
	}
}

func open(t *testing.T, h *hook, c webhook.Config) power.Provider {
	t.Helper()
	if c.URL == "" {
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		c.URL = server.URL + "/power?site=lon1"
	}
	c.Machine = "web-01"
	if c.Secret == "" {
		c.Secret = secret
	}
	p, err := webhook.New(c)
	if err != nil {
		t.Fatal(err)
	}
	g := governor.New(p, governor.Config{Burst: 1000, Poll: time.Millisecond, Settle: 50 * time.Millisecond})
	t.Cleanup(func() { _ = g.Close(context.WithoutCancel(t.Context())) })
	return g
}

func TestContract(t *testing.T) {
	powertest.Run(t, func(t *testing.T) powertest.Rig {
		h := &hook{}
		return powertest.Rig{Provider: open(t, h, webhook.Config{}), Power: h.power, Boots: h.booted, Mode: sprout.UEFI}
	})
}

// What the documentation shows is what is said.
func TestWire(t *testing.T) {
	var bodies []string
	h := &hook{}
	h.instead = func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies = append(bodies, r.Method+" "+r.URL.String()+" "+string(body)+" "+r.Header.Get(webhook.TimeHeader)+" "+r.Header.Get(webhook.SignatureHeader)[:8])
		fmt.Fprint(w, `{"power": "on", "device": "network"}`)
	}
	p := open(t, h, webhook.Config{System: "outlet-7", Now: func() time.Time { return time.Unix(1767225600, 0) }})
	if state, err := p.Status(t.Context()); state != sprout.PowerOn || err != nil {
		t.Fatal(state, err)
	}
	if err := p.BootOnce(t.Context(), power.BootNetwork, sprout.UEFI); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`POST /power?site=lon1 {"do":"status","machine":"web-01","system":"outlet-7"} 1767225600 `,
		`POST /power?site=lon1 {"do":"boot","machine":"web-01","system":"outlet-7","device":"network","mode":"uefi"} 1767225600 `,
	}
	for i, body := range bodies {
		if body[:len(body)-8] != want[i] {
			t.Errorf("it was asked %s, want %s", body, want[i])
		}
	}
	// Computed with: printf '1767225600.{"do":"status"}' | openssl dgst -sha256 -hmac correct-horse
	const known = "f98e6410dee692320370caaeaaf27385a87a45cd1e3c9760ea3622da8caeab9f"
	if got := webhook.Sign(secret, "1767225600", []byte(`{"do":"status"}`)); got != known {
		t.Errorf("the signature is %s, want %s", got, known)
	}
}

func TestFailures(t *testing.T) {
	says := func(status int, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); fmt.Fprint(w, body) }
	}
	for name, c := range map[string]struct {
		hook   *hook
		config webhook.Config
		do     func(context.Context, power.Provider) error
		code   sprout.Code
		words  string
	}{
		"power that does not follow": {hook: &hook{stuck: true}, code: sprout.PowerNotChanged, words: "expected on, found "},
		"power that nobody knows":    {hook: &hook{instead: says(200, `{"power": "unknown"}`)}, code: sprout.PowerNotChanged, words: "saying unknown"},
		"device that is not kept": {
			hook: &hook{deaf: true}, code: sprout.BMCFailed, words: `answering device ""`,
			do: func(ctx context.Context, p power.Provider) error { return p.BootOnce(ctx, power.BootDisk, "") },
		},
		"wrong secret":         {config: webhook.Config{Secret: "another-one"}, code: sprout.BMCDenied, words: "the signature is wrong"},
		"its own error":        {hook: &hook{instead: says(503, `{"error": "strip 3 is gone, `+secret+`"}`)}, code: sprout.BMCFailed, words: "503 Service Unavailable: strip 3 is gone, [secret]"},
		"no JSON":              {hook: &hook{instead: says(200, `<html>`)}, code: sprout.BMCFailed, words: "not the JSON"},
		"another power":        {hook: &hook{instead: says(200, `{"power": "sideways"}`)}, code: sprout.BMCFailed, words: "sideways"},
		"a redirect":           {hook: &hook{instead: says(307, ``)}, code: sprout.BMCFailed, words: "answered 307"},
		"an answer that hangs": {hook: &hook{instead: func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body); <-r.Context().Done() }}, config: webhook.Config{RequestTimeout: 20 * time.Millisecond}, code: sprout.BMCUnreachable, words: "deadline exceeded"},
		"nobody there":         {config: webhook.Config{URL: "http://127.0.0.1:1/p?key=hidden"}, code: sprout.BMCUnreachable, words: "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.hook == nil {
				c.hook = &hook{}
			}
			do := c.do
			if do == nil {
				do = func(ctx context.Context, p power.Provider) error { return p.Set(ctx, sprout.PowerOn) }
			}
			err := do(t.Context(), open(t, c.hook, c.config))
			var f *sprout.Failure
			if !errors.As(err, &f) || f.Code != c.code {
				t.Fatalf("error %v, want code %s", err, c.code)
			}
			all := f.Reason + " | " + f.Evidence
			if !strings.Contains(all, c.words) || strings.Contains(all, secret) || strings.Contains(all, "hidden") {
				t.Errorf("failure says %q, want %q in it and no secret", all, c.words)
			}
		})
	}
}

func TestBadURLs(t *testing.T) {
	for _, url := range []string{"", "10.0.0.5", "ipmi://x", "https://user:" + secret + "@x/", "https://%"} {
		_, err := webhook.New(webhook.Config{URL: url})
		if sprout.KindOf(err) != sprout.Invalid || strings.Contains(err.Error(), secret) {
			t.Errorf("New(%q) = %v, want an invalid error", url, err)
		}
	}
}
