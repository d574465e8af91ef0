package cli_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"sprout/api/apitest"
	"sprout/cli"
	"sprout/server"
	"sprout/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// TestScripts tells the stories of testdata through the real command line, each
// against a control plane of its own. They need no machines.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"sprout": runSprout,
			"exits":  exits,
		},
		Setup: func(e *testscript.Env) error {
			url, token, stop, err := start(t, filepath.Join(e.WorkDir, "plane"))
			if err != nil {
				return err
			}
			e.Defer(stop)
			e.Setenv("SPROUT_SERVER", url)
			e.Setenv("SPROUT_TOKEN", token)
			e.Setenv("SPROUT_CONFIG", filepath.Join(e.WorkDir, "none.yaml"))
			return nil
		},
	})
}

// start runs a control plane until stop is called.
func start(t *testing.T, dir string) (url, token string, stop func(), err error) {
	t.Helper()
	c := server.Defaults()
	c.Listen, c.Bus.Listen, c.Dir = "127.0.0.1:0", "127.0.0.1:0", dir
	c.TLS.Disable, c.Bus.Plain = true, true
	c.Database.URL = storetest.NewURL(t)
	c.Log, c.Edge = slog.New(slog.DiscardHandler), apitest.Edge(t)
	s, err := server.New(t.Context(), c)
	if err != nil {
		return "", "", nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	<-s.Started()
	secret, err := os.ReadFile(filepath.Join(dir, "admin-token"))
	return s.URL(), strings.TrimSpace(string(secret)), stop, err
}

// sprout runs a command line in this process, in the script's environment.
// Its exit code is checked: 0, or not 0 with "!".
func runSprout(ts *testscript.TestScript, neg bool, args []string) {
	code := inScript(ts, args)
	if neg == (code == 0) {
		ts.Fatalf("exit code %d", code)
	}
}

// exits CODE sprout … demands one exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE ARGUMENT…")
	}
	if code := inScript(ts, args[1:]); args[0] != string(rune('0'+code)) {
		ts.Fatalf("exit code %d, not %s", code, args[0])
	}
}

func inScript(ts *testscript.TestScript, args []string) int {
	var stdout, stderr bytes.Buffer
	for i, arg := range args {
		if strings.HasSuffix(arg, ".yaml") || strings.HasSuffix(arg, ".raw") || strings.HasSuffix(arg, ".pub") || strings.HasSuffix(arg, ".jsonl") {
			args[i] = ts.MkAbs(arg)
		}
	}
	code := cli.MainWith(context.Background(), args, strings.NewReader(""), &stdout, &stderr, ts.Getenv)
	_, _ = ts.Stdout().Write(stdout.Bytes())
	_, _ = ts.Stderr().Write(stderr.Bytes())
	return code
}
