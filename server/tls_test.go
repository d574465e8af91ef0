package server_test

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"

	"sprout"
	"sprout/api"
	"sprout/bus"
	"sprout/client"
	"sprout/server"
	"sprout/store"
	"sprout/store/storetest"
	"sprout/trust"
)

// secure has a control plane speak TLS, as it does outside of tests.
func secure(c *server.Config) { c.TLS.Disable, c.Bus.Plain = false, false }

// trusting is a client that trusts the authority in a control plane's directory.
func (p plane) trusting(t *testing.T, dir string) *client.Client {
	t.Helper()
	ca := must(os.ReadFile(filepath.Join(dir, "ca.crt")))(t)
	return must(client.New(client.Config{URL: p.URL(), Token: p.token, CA: ca}))(t)
}

// Without a word about it the API and the bus speak TLS, at least 1.2, with a
// certificate of the installation's own authority. Who does not know that is
// refused by its own side; an agent gets what it needs with its token.
func TestTLSWithoutAWord(t *testing.T) {
	dir := t.TempDir()
	p := run(t, secure, func(c *server.Config) { c.Dir = dir })
	if !strings.HasPrefix(p.URL(), "https://") {
		t.Fatalf("it answers at %s", p.URL())
	}
	c := p.trusting(t, dir)
	who := must(client.Call(t.Context(), c, api.TokenWhoami, struct{}{}))(t)
	if who.Role != sprout.Admin {
		t.Errorf("who asks is %+v", who)
	}
	if _, err := client.Call(t.Context(), p.admin, api.TokenWhoami, struct{}{}); sprout.KindOf(err) != sprout.Denied || !strings.Contains(err.Error(), "cannot trust") {
		t.Errorf("a client that trusts the system's authorities: %v", err)
	}
	address := strings.TrimPrefix(p.URL(), "https://")
	old := &tls.Config{MaxVersion: tls.VersionTLS11, InsecureSkipVerify: true} //nolint:gosec // to see it refused
	if _, err := tls.Dial("tcp", address, old); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	chain := must(trust.Shown(t.Context(), address))(t)
	pinned := must(trust.Certificates(must(os.ReadFile(filepath.Join(dir, "ca.crt")))(t)))(t)
	if trust.Fingerprint(trust.Top(chain)) != trust.Fingerprint(pinned[0]) {
		t.Error("the chain does not end with the authority")
	}

	must(client.Call(t.Context(), c, api.SiteCreate, siteNamed("lon1")))(t)
	var ask api.CreateAgentToken
	ask.Body.Site = "lon1"
	token := must(client.Call(t.Context(), c, api.AgentTokenCreate, ask))(t)
	user, curve := must(nkeys.CreateUser())(t), must(nkeys.CreateCurveKeys())(t)
	var in api.EnrolAgent
	in.Body.Token, in.Body.Name, in.Body.Version = token.Secret, "far", "test"
	in.Body.PublicKey, in.Body.SealKey = must(user.PublicKey())(t), must(curve.PublicKey())(t)
	e := must(client.Call(t.Context(), c, api.AgentEnrol, in))(t)
	if e.CA == "" || e.Bus.CA == "" {
		t.Fatalf("the agent is not told whom to trust: %+v", e)
	}
	connect := func(secure *tls.Config) bool {
		site := must(bus.ConnectSite(bus.SiteConfig{
			URL: e.Bus.URL, Site: e.Site.ID, Agent: e.Agent.ID, JWT: e.Bus.JWT, Seed: must(user.Seed())(t), TLS: secure, Log: slog.New(slog.DiscardHandler),
		}))(t)
		defer site.Close()
		return site.Connected()
	}
	if !connect(must(trust.Only([]byte(e.Bus.CA)))(t)) {
		t.Error("the bus is not of the authority that the agent was told")
	}
	other := must(trust.NewAuthority(who.CreatedAt))(t)
	if connect(must(trust.Only(other.PEM()))(t)) {
		t.Error("a bus of another authority is trusted")
	}
	if connect(nil) {
		t.Error("an agent that knows no authority joins the bus")
	}
}

// Replicas have one authority, which the database keeps sealed: who has the
// database only cannot pose as the control plane.
func TestReplicasShareTheAuthority(t *testing.T) {
	url, dir := storetest.NewURL(t), t.TempDir()
	fingerprint := func(keyFile string) (string, error) {
		key := must(store.OpenKey(filepath.Join(dir, keyFile)))(t)
		s := must(store.Open(t.Context(), url, 6, store.Config{Key: key}))(t)
		defer s.Close()
		a, err := server.Authority(t.Context(), s)
		if err != nil {
			return "", err
		}
		return trust.Fingerprint(a.Certificate), nil
	}
	first, second := must(fingerprint("key"))(t), must(fingerprint("key"))(t)
	if first != second {
		t.Errorf("one has %s, the other %s", first, second)
	}
	if _, err := fingerprint("other"); err == nil {
		t.Error("it opens with another key")
	}
}

func TestTLSSettingsThatCannotWork(t *testing.T) {
	for field, change := range map[string]func(*server.Config){
		"tls.disable": func(c *server.Config) { c.TLS.Disable, c.TLS.Certificate, c.TLS.Key = true, "a", "b" },
		"tls":         func(c *server.Config) { c.TLS.Certificate = "a" },
		"bus.ca":      func(c *server.Config) { c.Bus.CA = "a" },
	} {
		c := server.Defaults()
		c.Database.URL = "postgres:///x"
		change(&c)
		var known *sprout.Error
		if err := c.Check(); !errors.As(err, &known) || known.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}
