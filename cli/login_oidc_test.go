package cli_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"

	"sprout"
	"sprout/api"
	"sprout/cli"
	"sprout/client"
	"sprout/server"
	"sprout/store/storetest"
)

// A screen is what a command writes; the first address of the device flow on it is
// given to somebody with a browser.
type screen struct {
	mu    sync.Mutex
	text  bytes.Buffer
	opens func(address string)
}

var deviceURL = regexp.MustCompile(`http\S+user_code=\S+`)

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.text.Write(p)
	if address := deviceURL.FindString(s.text.String()); address != "" && s.opens != nil {
		go s.opens(address)
		s.opens = nil
	}
	return n, err
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// A house is a control plane whose people log in at a provider.
type house struct {
	*secured
	openID *openID
	admin  *client.Client
}

func openHouse(t *testing.T, change ...func(*server.OIDCConfig)) *house {
	t.Helper()
	o := startOpenID(t)
	s := &secured{t: t, dir: t.TempDir(), config: filepath.Join(t.TempDir(), "config.yaml")}
	s.change = func(c *server.Config) {
		c.TLS.Disable = true
		c.OIDC = server.OIDCConfig{Issuer: o.url, Client: "sprout", Scopes: []string{"openid", "profile"}, Groups: map[string][]string{
			"platform": {"admin"}, "night": {"operator@lon1", "viewer@lon1,par1"}, "ghosts": {"admin@nowhere"},
		}}
		for _, f := range change {
			f(&c.OIDC)
		}
	}
	s.start(storetest.NewURL(t), "127.0.0.1:0", filepath.Join(s.dir, "plane"))
	t.Cleanup(func() { s.stop() })
	h := &house{secured: s, openID: o}
	h.admin = h.as(s.token)
	for _, name := range []string{"lon1", "par1"} {
		var in api.CreateSite
		in.Body.Name = name
		if _, err := client.Call(t.Context(), h.admin, api.SiteCreate, in); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func (h *house) as(token string) *client.Client {
	h.t.Helper()
	c, err := client.New(client.Config{URL: h.url, Token: token})
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// login runs sprout login while somebody has a browser; nil: nobody.
func (h *house) login(want int, opens func(address string)) string {
	h.t.Helper()
	getenv := func(name string) string { return map[string]string{"SPROUT_CONFIG": h.config}[name] }
	seen := &screen{opens: opens}
	if code := cli.MainWith(h.t.Context(), []string{"login", h.url}, strings.NewReader(""), seen, seen, getenv); code != want {
		h.t.Fatalf("exit code %d, want %d: %s", code, want, seen)
	}
	return seen.String()
}

func (h *house) browses(name string, yes bool) func(string) {
	return func(address string) {
		if err := h.openID.browse(address, name, yes); err != nil {
			h.t.Error(err)
		}
	}
}

// A person logs in by a browser and gets what the groups of the person may do, for
// half a day; the login is listed, on record, and ends when it is revoked.
func TestPeopleLogInAtAProvider(t *testing.T) {
	t.Parallel() // most of it is waiting
	h := openHouse(t)
	h.holds(h.login(0, h.browses("ann", true)), "and enter the code", "as ann (admin) until")
	h.holds(h.do(0, "", "token", "list"), "ann", "login")
	who := h.do(0, "", "token", "whoami", "-o", "json")
	var token sprout.Token
	if err := json.Unmarshal([]byte(who), &token); err != nil || token.Kind != sprout.LoginToken || token.Role != sprout.Admin {
		t.Fatalf("%v: %s", err, who)
	}
	if left := time.Until(*token.ExpiresAt); left > 12*time.Hour || left < 12*time.Hour-time.Minute {
		t.Errorf("it lasts %s", left)
	}
	record, err := client.List(t.Context(), h.admin, api.AuditList, api.ListAudit{AuditFilter: api.AuditFilter{Action: "login create"}}, 0)
	if err != nil || len(record) != 1 || record[0].Actor != "ann" || record[0].Outcome != "done" || !strings.Contains(record[0].Detail, "ann at "+h.openID.url+", of platform") {
		t.Errorf("%+v, %v", record, err)
	}
	h.holds(h.login(0, h.browses("ann", true)), "as ann (admin)") // twice at once
	h.holds(h.do(2, "", "token", "revoke", "ann", "--yes"), "say which")
	h.do(0, "", "token", "revoke", string(token.ID), "--yes")

	h.openID.is("bob", "night", "others")
	h.holds(h.login(0, h.browses("bob", true)), "as bob (operator@lon1 viewer@lon1,par1) until")
	h.do(0, "", "site", "list")
	h.holds(h.do(1, "", "token", "list"), "needs the role admin")
}

// Whoever is in no group that may, or in none any more, is told so.
func TestAPersonOfNoGroupIsRefused(t *testing.T) {
	t.Parallel() // most of it is waiting
	h := openHouse(t)
	h.login(0, h.browses("ann", true))
	h.openID.is("ann", "retired")
	h.holds(h.login(1, h.browses("ann", true)), "cannot log ann in", "none of the groups", "retired", "oidc.groups")
	h.do(0, "", "token", "whoami") // what the first login gave goes on
	for groups, why := range map[string]string{"": "has none", "ghosts": "whose sites do not exist"} {
		h.openID.is("ann", strings.Fields(groups)...)
		if _, err := h.exchange(h.idToken("sprout", "ann")); sprout.KindOf(err) != sprout.Denied || !strings.Contains(err.Error(), why) {
			t.Errorf("a member of %q: %v", groups, err)
		}
	}
	h.openID.is("admin", "platform") // as the first administrator's token is called
	if made, err := h.exchange(h.idToken("sprout", "admin")); err != nil || made.Name != "admin@127.0.0.1:"+h.openID.port {
		t.Errorf("%+v, %v", made.Token, err)
	}
}

// A code that nobody enters, or that somebody says no to, is no login; nor is an
// issuer that is away, while logins that exist go on.
func TestALoginThatDoesNotCome(t *testing.T) {
	t.Parallel() // most of it is waiting
	h := openHouse(t)
	h.login(0, h.browses("ann", true))
	h.holds(h.login(1, h.browses("ann", false)), "cannot log in: it was refused at "+h.openID.url)
	raw := h.idToken("sprout", "ann")
	h.openID.stop()
	h.holds(h.login(5, nil), "cannot log in: the OpenID provider "+h.openID.url+" does not answer")
	h.do(0, "", "token", "whoami")

	// A replica that has not asked the issuer yet cannot.
	h.stop()
	h.start(h.database, "127.0.0.1:0", filepath.Join(h.dir, "plane"))
	_, err := h.exchange(raw)
	if sprout.KindOf(err) != sprout.Unavailable || !strings.Contains(err.Error(), h.openID.url) {
		t.Errorf("without the issuer: %v", err)
	}
	h.openID.start()
	if _, err := h.exchange(raw); err != nil {
		t.Errorf("with the issuer again, whose keys are the same: %v", err)
	}
}

func TestACodeExpires(t *testing.T) {
	t.Parallel() // most of it is waiting
	h := openHouse(t, func(c *server.OIDCConfig) { c.Client = "hasty" })
	h.holds(h.login(5, nil), "nobody entered the code at "+h.openID.url+" in time")
}

// An id token that has expired is refused, however good it was.
func TestAnIDTokenExpires(t *testing.T) {
	t.Parallel() // most of it is waiting
	h := openHouse(t, func(c *server.OIDCConfig) { c.Client = "brief" })
	raw := h.idToken("brief", "ann")
	<-time.After(2100 * time.Millisecond) // it is good for one second, and its times are in whole ones
	if _, err := h.exchange(raw); sprout.KindOf(err) != sprout.Denied || !strings.Contains(err.Error(), "it expired at") {
		t.Errorf("%v", err)
	}
}

// exchange shows the control plane an id token.
func (h *house) exchange(raw string) (api.NewToken, error) {
	var in api.CreateLogin
	in.Body.IDToken = raw
	return client.Call(h.t.Context(), h.as(""), api.LoginCreate, in)
}

// idToken logs a person in at a client of the provider, by hand.
func (h *house) idToken(clientID, name string) string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	provider, err := oidc.NewProvider(ctx, h.openID.url)
	if err != nil {
		h.t.Fatal(err)
	}
	flow := oauth2.Config{ClientID: clientID, Endpoint: provider.Endpoint(), Scopes: []string{"openid", "profile"}}
	flow.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	asked, err := flow.DeviceAuth(ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.openID.browse(asked.VerificationURIComplete, name, true); err != nil {
		h.t.Fatal(err)
	}
	asked.Interval = 1 // the person is there already
	given, err := flow.DeviceAccessToken(ctx, asked)
	if err != nil {
		h.t.Fatal(err)
	}
	raw, _ := given.Extra("id_token").(string)
	return raw
}

// Id tokens of somebody else, or that nobody signed, are refused with the reason,
// on record; a good one is good once.
func TestIDTokensAreChecked(t *testing.T) {
	t.Parallel() // most of it is waiting
	h := openHouse(t)
	good := h.idToken("sprout", "ann")
	claims := map[string]any{"iss": h.openID.url, "aud": "sprout", "sub": "ann", "preferred_username": "ann", "groups": []string{"platform"},
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(signer jose.Signer, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign(text)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	foreign := sign(jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, nil))
	shared := sign(jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte("sprout-sprout-sprout-sprout-spro")}, nil))
	body := strings.Split(foreign, ".")[1]
	parts := strings.Split(good, ".")
	for _, c := range []struct{ what, raw, why string }{
		{"another client's", h.idToken("other", "ann"), `expected audience "sprout"`},
		{"a foreign key's", foreign, "failed to verify"},
		{"a shared secret's", shared, "malformed jwt"},
		{"one nobody signed", "eyJhbGciOiJub25lIn0." + body + ".", "malformed jwt"},
		{"a good one's signature on other claims", parts[0] + "." + body + "." + parts[2], "failed to verify"},
		{"none", "x", "malformed jwt"},
	} {
		made, err := h.exchange(c.raw)
		if sprout.KindOf(err) != sprout.Denied || !strings.Contains(err.Error(), c.why) || made.Secret != "" {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	if made, err := h.exchange(good); err != nil || made.Secret == "" {
		t.Errorf("a good one: %v", err)
	}
	if _, err := h.exchange(good); sprout.KindOf(err) != sprout.Denied || !strings.Contains(err.Error(), "served for a login before") {
		t.Errorf("a good one again: %v", err)
	}
	record, err := client.List(t.Context(), h.admin, api.AuditList, api.ListAudit{AuditFilter: api.AuditFilter{Action: "login create", Outcome: "refused"}}, 0)
	if err != nil || len(record) == 0 {
		t.Errorf("refusals are not on record: %v", err)
	}
	for _, r := range record {
		if strings.Contains(r.Detail, good) {
			t.Errorf("the record holds an id token: %+v", r)
		}
	}
}
