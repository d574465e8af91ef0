package server_test

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"sprout"
	"sprout/api"
	"sprout/api/apitest"
	"sprout/client"
	"sprout/server"
	"sprout/store/storetest"
)

func TestMain(m *testing.M) {
	if code, ok := server.RunChild(); ok { // a process that TestKilled started
		os.Exit(code)
	}
	storetest.Main(m)
}

// A plane is a running control plane and an administrator's client of it.
type plane struct {
	*server.Server
	admin *client.Client
	token string
	stop  func()
}

// run starts a control plane on a database of its own, and stops it when the
// test ends.
func run(t *testing.T, change ...func(*server.Config)) plane {
	t.Helper()
	c := server.Defaults()
	c.Listen, c.Bus.Listen, c.Dir = "127.0.0.1:0", "127.0.0.1:0", t.TempDir()
	c.TLS.Disable, c.Bus.Plain = true, true
	c.Database.URL = storetest.NewURL(t)
	c.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	c.Edge = apitest.Edge(t)
	for _, f := range change {
		f(&c)
	}
	s, err := server.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	p := plane{Server: s, stop: sync.OnceFunc(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("server: %v", err)
		}
	})}
	t.Cleanup(p.stop)
	select {
	case <-s.Started():
	case err := <-done:
		done <- err
		t.Fatal("the server ended before it was ready")
	}
	secret, err := os.ReadFile(cmp.Or(c.Admin, filepath.Join(c.Dir, "admin-token")))
	if err != nil {
		t.Fatal(err)
	}
	p.token = strings.TrimSpace(string(secret))
	p.admin = p.as(t, p.token)
	return p
}

func (p plane) as(t *testing.T, token string) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{URL: p.URL(), Token: token})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// bearer makes a token of the role.
func (p plane) bearer(t *testing.T, role sprout.Role) string {
	t.Helper()
	var in api.CreateToken
	in.Body.Name, in.Body.Role = "a "+string(role), role
	return must(client.Call(t.Context(), p.admin, api.TokenCreate, in))(t).Secret
}

// must fails the test on an error.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// A reply is what a test looks at of an answer whose body was read.
type reply struct {
	status int
	header http.Header
}

// ask sends a plain request.
func (p plane) ask(t *testing.T, method, path, token, body string) (reply, api.Fault) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, p.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close() // read to its end
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var fault api.Fault
	if answer.StatusCode >= 400 {
		if ct := answer.Header.Get("Content-Type"); ct != "application/problem+json" {
			t.Errorf("%s %s: %d is %q, not a problem document: %s", method, path, answer.StatusCode, ct, raw)
		} else if err := json.Unmarshal(raw, &fault); err != nil {
			t.Errorf("%s %s: %v", method, path, err)
		}
	}
	return reply{answer.StatusCode, answer.Header}, fault
}

var parameter = regexp.MustCompile(`\{[a-z]+\}`)

// Every operation refuses who bears no token and who bears too small a role;
// the latter is audited. An operation that is declared and not served is a 404
// and fails here too.
func TestEveryOperationChecksWhoAsks(t *testing.T) {
	p := run(t, func(c *server.Config) { c.Limits.AddressRate = -1 }) // every operation is asked without a good token
	smaller := map[sprout.Role]string{sprout.Operator: p.bearer(t, sprout.Viewer), sprout.Admin: p.bearer(t, sprout.Operator)}
	refused := map[string]bool{} // ids of requests
	for _, op := range api.Operations() {
		s := op.Spec()
		path := parameter.ReplaceAllString(s.Path, "x")
		if s.Role == api.Public {
			if answer, _ := p.ask(t, s.Method, path, "", "{}"); answer.status != 422 && s.Method != "GET" {
				t.Errorf("%s answers %d to an empty body", s.Name, answer.status)
			}
			continue
		}
		for _, token := range []string{"", "WRONGWRONGWRONGWRONGWRONG"} {
			answer, fault := p.ask(t, s.Method, path, token, "")
			if answer.status != 401 || fault.Kind != sprout.Denied || fault.Request == "" || answer.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s answers %d %+v to the token %q", s.Name, answer.status, fault, token)
			}
			refused[fault.Request] = true
		}
		token, ok := smaller[s.Role]
		if !ok {
			continue
		}
		answer, fault := p.ask(t, s.Method, path, token, "")
		if answer.status != 403 || fault.Kind != sprout.Denied {
			t.Errorf("%s answers %d %+v to a role too small", s.Name, answer.status, fault)
		}
		refused[fault.Request] = true
	}
	records := must(client.List(t.Context(), p.admin, api.AuditList, api.ListAudit{}, 0))(t)
	for _, r := range records {
		if r.Outcome == "refused" {
			delete(refused, r.Request)
		}
	}
	if len(refused) != 0 {
		t.Errorf("%d refusals are not in the audit: %v", len(refused), refused)
	}
	if check := must(client.Call(t.Context(), p.admin, api.AuditVerify, api.VerifyAudit{}))(t); !check.Intact || check.Records != int64(len(records)) {
		t.Errorf("audit: %+v of %d", check, len(records))
	}
}

// An agent's token fetches images and tests, tells about itself, and opens nothing else.
func TestAgentRoleFetchesFilesAndNothingElse(t *testing.T) {
	for _, op := range api.Operations() {
		s := op.Spec()
		want := s.Role == api.Public || s.Name == "image content" || s.Name == "test content" || s.Name == "token whoami"
		if got := api.May(sprout.AgentRole, s.Role); got != want {
			t.Errorf("an agent may %s: %v", s.Name, got)
		}
	}
}

func TestWrongRequestsNameTheField(t *testing.T) {
	p := run(t)
	site := must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	if site.Domain != "lon1.internal" {
		t.Errorf("domain is %q", site.Domain)
	}
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		field, detail            string
	}{
		{"unknown path", "GET", "/v1/nowhere", "", 404, "", "nothing at /v1/nowhere"},
		{"wrong method", "PUT", "/v1/sites", "", 405, "", "allowed are"},
		{"unknown field", "POST", "/v1/sites", `{"name":"ams1","colour":"red"}`, 422, "colour", "unknown field"},
		{"missing field", "POST", "/v1/sites", `{}`, 422, "name", "required"},
		{"wrong type", "POST", "/v1/sites", `{"name":3}`, 422, "name", "string"},
		{"no JSON", "POST", "/v1/sites", `{`, 400, "", "cannot read the body"},
		{"unknown query", "GET", "/v1/machines?colour=red", "", 422, "colour", "unknown query parameter"},
		{"wrong label", "POST", "/v1/sites", `{"name":"Lon 1"}`, 422, "name", "DNS label"},
		{"wrong domain", "POST", "/v1/sites", `{"name":"ams1","domain":"a..b"}`, 422, "domain", "DNS labels"},
		{"name taken", "POST", "/v1/sites", `{"name":"lon1"}`, 409, "name", ""},
		{"unknown site", "POST", "/v1/networks", `{"site":"par1","name":"n","cidr":"10.0.0.0/24"}`, 404, "site", "par1"},
		{"wrong cidr", "POST", "/v1/networks", `{"site":"lon1","name":"n","cidr":"10.0.0.0"}`, 422, "cidr", "no prefix"},
		{"host bits", "POST", "/v1/networks", `{"site":"lon1","name":"n","cidr":"10.0.0.5/24"}`, 422, "cidr", "host bits"},
		{"range outside", "POST", "/v1/networks", `{"site":"lon1","name":"n","cidr":"10.0.0.0/24","dynamic":["10.0.1.5-10.0.1.9"]}`, 422, "dynamic", "outside"},
		{"range reversed", "POST", "/v1/networks", `{"site":"lon1","name":"n","cidr":"10.0.0.0/24","dynamic":["10.0.0.9-10.0.0.5"]}`, 422, "dynamic", "before it begins"},
		{"gateway outside", "POST", "/v1/networks", `{"site":"lon1","name":"n","cidr":"10.0.0.0/24","gateway":"10.0.1.1"}`, 422, "gateway", ""},
		{"wrong mac", "POST", "/v1/machines", `{"site":"lon1","name":"m","macs":["52:54"]}`, 422, "interfaces.mac", "MAC address"},
		{"unknown machine", "GET", "/v1/machines/m9", "", 404, "machine", "m9"},
		{"too large", "POST", "/v1/sites", `{"name":"` + strings.Repeat("a", 9<<20) + `"}`, 413, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer, fault := p.ask(t, c.method, c.path, p.token, c.body)
			if answer.status != c.status || fault.Field != c.field || !strings.Contains(fault.Detail, c.detail) || fault.Request == "" {
				t.Errorf("%d %+v; want %d, field %q, detail with %q", answer.status, fault, c.status, c.field, c.detail)
			}
		})
	}
	if sites := must(client.List(t.Context(), p.admin, api.SiteList, api.ListSites{}, 0))(t); len(sites) != 1 {
		t.Errorf("what was refused changed something: %v", sites)
	}
}

func siteNamed(name string) (in api.CreateSite) {
	in.Body.Name = name
	return in
}

func TestHealth(t *testing.T) {
	p := run(t)
	for _, path := range []string{"/healthz", "/readyz", "/openapi.json"} {
		if answer, _ := p.ask(t, "GET", path, "", ""); answer.status != 200 {
			t.Errorf("%s answers %d", path, answer.status)
		}
	}
}
