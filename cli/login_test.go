package cli_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sprout/api/apitest"
	"sprout/cli"
	"sprout/server"
	"sprout/store/storetest"
	"sprout/trust"
)

// A secured is a control plane that speaks TLS, and a user's own context file.
type secured struct {
	t           *testing.T
	url, token  string
	database    string
	dir, config string
	change      func(*server.Config) // nil: nothing
	stop        func()
}

func secure(t *testing.T) *secured {
	t.Helper()
	s := &secured{t: t, dir: t.TempDir(), config: filepath.Join(t.TempDir(), "sub", "config.yaml")}
	s.start(storetest.NewURL(t), "127.0.0.1:0", filepath.Join(s.dir, "first"))
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *secured) start(database, listen, dir string) {
	s.t.Helper()
	c := server.Defaults()
	c.Listen, c.Bus.Listen, c.Dir, c.Database.URL, c.Log = listen, "127.0.0.1:0", dir, database, slog.New(slog.DiscardHandler)
	c.Edge = apitest.Edge(s.t)
	if s.change != nil {
		s.change(&c)
	}
	plane, err := server.New(s.t.Context(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- plane.Run(ctx) }()
	s.stop = func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("server: %v", err)
		}
	}
	<-plane.Started()
	secret, err := os.ReadFile(filepath.Join(dir, "admin-token"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.database = database
	s.url, s.token = plane.URL(), strings.TrimSpace(string(secret))
}

// authority is the fingerprint of the control plane's own certificates.
func (s *secured) authority(dir string) string {
	s.t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		s.t.Fatal(err)
	}
	list, err := trust.Certificates(raw)
	if err != nil {
		s.t.Fatal(err)
	}
	return trust.Fingerprint(list[0])
}

// do runs a command line with what is typed, and checks its exit code. No token
// may ever be printed.
func (s *secured) do(want int, typed string, args ...string) string {
	s.t.Helper()
	var out, errs bytes.Buffer
	getenv := func(name string) string { return map[string]string{"SPROUT_CONFIG": s.config}[name] }
	code := cli.MainWith(s.t.Context(), args, strings.NewReader(typed), &out, &errs, getenv)
	said := out.String() + errs.String()
	if code != want {
		s.t.Fatalf("sprout %s: exit code %d, want %d: %s", strings.Join(args, " "), code, want, said)
	}
	if strings.Contains(said, s.token) {
		s.t.Errorf("sprout %s prints the token: %s", strings.Join(args, " "), said)
	}
	return said
}

func (s *secured) holds(said string, words ...string) {
	s.t.Helper()
	for _, w := range words {
		if !strings.Contains(said, w) {
			s.t.Errorf("%q is not in: %s", w, said)
		}
	}
}

// The first login shows the authority and asks; what was pinned is trusted from
// then on, and nothing else: another server at the same address is refused.
func TestLoginPinsTheAuthority(t *testing.T) {
	s := secure(t)
	print := s.authority(filepath.Join(s.dir, "first"))
	s.holds(s.do(1, "n\n", "login", s.url, "--token", s.token), print, "is not trusted", "--fingerprint "+print)
	s.do(1, "", "login", s.url, "--token", s.token)
	s.do(1, "", "login", s.url, "--token", s.token, "--fingerprint", "sha256:"+strings.Repeat("0", 64))
	s.do(2, "", "login", s.url, "--token", s.token, "--fingerprint", "abc")
	s.do(2, "", "login", "http://sprout.example", "--token", s.token)
	if _, err := os.Stat(s.config); err == nil {
		t.Error("a login that was refused is remembered")
	}
	s.do(1, "y\n", "login", s.url, "--token", "not-a-token")
	s.holds(s.do(0, "y\n", "login", s.url, "--token", s.token), print, "as admin (admin)", "context 127.0.0.1 is current")
	info, err := os.Stat(s.config)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	s.do(0, "", "site", "create", "lon1")
	s.do(0, "", "status")
	s.holds(s.do(0, "", "token", "whoami"), "admin")
	s.do(0, "", "login", s.url, "--token", s.token, "--name", "again") // it knows the authority
	s.do(0, s.token+"\n", "login", s.url, "--token-file", "-", "--fingerprint", strings.ToUpper(print[7:]), "--name", "third")
	s.do(0, "", "login", s.url, "--token", s.token, "--ca", filepath.Join(s.dir, "first", "ca.crt"), "--name", "fourth")

	s.stop()
	address := strings.TrimPrefix(s.url, "https://")
	s.start(storetest.NewURL(t), address, filepath.Join(s.dir, "second"))
	other := s.authority(filepath.Join(s.dir, "second"))
	s.holds(s.do(1, "", "site", "list"), "cannot trust", print, other, "sprout login")
	s.holds(s.do(1, "", "status"), "cannot trust", other)
	s.holds(s.do(1, "n\n", "login", s.url, "--token", s.token), "take care", print, other)
	s.do(0, "", "login", s.url, "--token", s.token, "--yes")
	s.do(0, "", "site", "list")
}

// Contexts are listed, shown, used and deleted, without their tokens; each
// token is for its own server only.
func TestContexts(t *testing.T) {
	s := secure(t)
	s.holds(s.do(1, "", "context", "use", "nowhere"), "cannot find a context")
	s.holds(s.do(0, "", "context", "list"), "no contexts")
	s.do(0, "", "login", s.url, "--token", s.token, "--yes", "--name", "production")
	s.do(0, "", "login", s.url, "--token", s.token, "--yes", "--context", "staging")
	s.holds(s.do(0, "", "context", "list", "-o", "wide"), "production", "staging", s.authority(filepath.Join(s.dir, "first")))
	s.holds(s.do(0, "", "context", "list", "-o", "json"), `"hasToken": true`)
	s.holds(s.do(0, "", "context", "show"), "staging")
	s.do(0, "", "context", "use", "production")
	s.holds(s.do(0, "", "context", "show", "-o", "yaml"), "name: production", "current: true")
	s.do(0, "", "--context", "staging", "site", "list")
	s.holds(s.do(1, "", "--context", "stagin", "site", "list"), "--context staging")
	s.do(0, "", "--server", s.url, "site", "list")
	s.holds(s.do(2, "", "--server", "https://127.0.0.1:1", "--context", "staging", "site", "list"), "is not where the context staging is")
	s.do(0, "", "context", "delete", "production")
	s.holds(s.do(2, "", "site", "list"), "no control plane is named")
	s.do(0, "", "context", "use", "staging")
	s.do(0, "", "site", "list")

	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "" {
			t.Error("a token is sent to a server that it is not for")
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	defer other.Close()
	s.do(1, "", "--server", other.URL, "site", "list")
}
