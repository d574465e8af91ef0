package server_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/api"
	"sprout/client"
	"sprout/server"
)

// A token that asks too often is told when to ask again, and by when it may;
// other tokens are not held up, and our own client waits by itself.
func TestATokenThatAsksTooOftenIsToldToWait(t *testing.T) {
	p := run(t, func(c *server.Config) { c.Limits = server.LimitsConfig{TokenRate: 1, TokenBurst: 5} })
	busy, calm := p.bearer(t, sprout.Viewer), p.bearer(t, sprout.Operator)
	var told reply
	var fault api.Fault
	for range 50 {
		if told, fault = p.ask(t, "GET", "/v1/whoami", busy, ""); told.status != 200 {
			break
		}
	}
	if told.status != http.StatusTooManyRequests || told.header.Get("Retry-After") != "1" || fault.RetryAfter != 1 || fault.Kind != sprout.Unavailable {
		t.Fatalf("%+v %+v", told, fault)
	}
	if !strings.Contains(fault.Detail, "a viewer asks more often than 1 times a second (5 at once)") || !strings.Contains(fault.Remedy, "limits.tokenRate") {
		t.Errorf("it says %q, %q", fault.Detail, fault.Remedy)
	}
	if answer, fault := p.ask(t, "GET", "/v1/whoami", calm, ""); answer.status != 200 {
		t.Errorf("another token is held up: %+v", fault)
	}
	began := time.Now()
	if who, err := client.Call(t.Context(), p.as(t, busy), api.TokenWhoami, struct{}{}); err != nil || who.Role != sprout.Viewer {
		t.Errorf("the client does not wait: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the client waited %s", took)
	}
}

// Whoever shows no good token is held up by address, also where the operation
// needs none. A token that was good goes on from the same address.
func TestAnAddressWithoutAGoodTokenIsToldToWait(t *testing.T) {
	p := run(t, func(c *server.Config) { c.Limits = server.LimitsConfig{AddressRate: 1, AddressBurst: 8} })
	fresh := p.bearer(t, sprout.Viewer) // of an administrator that is known by now
	statuses := map[int]int{}
	for range 10 {
		for _, token := range []string{"", "WRONGWRONGWRONGWRONGWRONG"} {
			answer, fault := p.ask(t, "GET", "/v1/sites", token, "")
			statuses[answer.status]++
			if answer.status == 429 && (answer.header.Get("Retry-After") == "" || !strings.Contains(fault.Remedy, "limits.addressRate")) {
				t.Errorf("%+v %+v", answer, fault)
			}
		}
	}
	if statuses[401] < 8 || statuses[401] > 12 || statuses[401]+statuses[429] != 20 {
		t.Errorf("20 requests without a good token are answered %v", statuses)
	}
	if answer, _ := p.ask(t, "GET", "/v1/sites", p.token, ""); answer.status != 200 {
		t.Errorf("a token that was good is answered %d", answer.status)
	}
	if answer, _ := p.ask(t, "POST", "/v1/agents/enrol", "", "{}"); answer.status != 429 {
		t.Errorf("a public operation is answered %d", answer.status)
	}
	if _, err := client.Call(t.Context(), p.as(t, fresh), api.TokenWhoami, struct{}{}); err != nil {
		t.Errorf("a good token that is new here: %v", err)
	}
}

// Work by the thousand, as bulk commands and benches do it, meets no limit.
func TestTheUsualLimitIsGenerous(t *testing.T) {
	p := run(t)
	for range 1500 {
		if answer, fault := p.ask(t, "GET", "/v1/whoami", p.token, ""); answer.status != 200 {
			t.Fatalf("%+v", fault)
		}
	}
}
