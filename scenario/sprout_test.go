package scenario_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"sprout/api"
	"sprout/cli"
	"sprout/client"
)

// commandTakes is how long one command line may run.
const commandTakes = 60 * time.Second

// run carries out one command line in this process, as the administrator.
func (s *story) run(ts *testscript.TestScript, args []string) (code int, stdout string) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTakes)
	defer cancel()
	args = append([]string{"--server", s.url, "--token", s.token, "--ca", s.authority()}, args...)
	var out, errs bytes.Buffer
	code = cli.Main(ctx, args, strings.NewReader(""), &out, &errs)
	_, _ = ts.Stdout().Write(out.Bytes())
	_, _ = ts.Stderr().Write(errs.Bytes())
	if !strings.Contains(strings.Join(args, " "), "token create") {
		_, _ = s.said.Write(append(out.Bytes(), errs.Bytes()...))
	}
	return code, out.String()
}

func tellSprout(s *story, ts *testscript.TestScript, neg bool, args []string) {
	code, _ := s.run(ts, args)
	if neg == (code == 0) {
		ts.Fatalf("sprout %s: exit code %d", strings.Join(args, " "), code)
	}
}

func tellExits(s *story, ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 2 && args[1] == "sprout", "exits CODE sprout ARG…")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if code, _ := s.run(ts, args[2:]); code != want {
		ts.Fatalf("sprout %s: exit code %d, want %d", strings.Join(args[2:], " "), code, want)
	}
}

func tellLet(s *story, ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 2 && args[1] == "sprout", "let NAME sprout ARG…")
	code, out := s.run(ts, args[2:])
	if code != 0 {
		ts.Fatalf("sprout %s: exit code %d", strings.Join(args[2:], " "), code)
	}
	ts.Setenv(args[0], strings.TrimSpace(out))
}

// call carries out an operation of the API as the administrator.
func call[In, Out any](ctx context.Context, s *story, op api.Op[In, Out], in In) (Out, error) {
	c, err := s.client()
	if err != nil {
		var none Out
		return none, err
	}
	return client.Call(ctx, c, op, in)
}

// gather returns everything that an operation lists.
func gather[In, T any, P api.Paged[In]](ctx context.Context, s *story, op api.Op[In, api.Page[T]], in In) ([]T, error) {
	c, err := s.client()
	if err != nil {
		return nil, err
	}
	return client.List[In, T, P](ctx, c, op, in, 0)
}

func (s *story) client() (*client.Client, error) {
	ca, err := os.ReadFile(s.authority())
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{URL: s.url, Token: s.token, CA: ca})
}

func tellRandom(_ *story, ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 2, "random FILE BYTES")
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	var seed [32]byte
	copy(seed[:], args[0])
	raw := make([]byte, n)
	_, _ = rand.NewChaCha8(seed).Read(raw) // never fails
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), raw, 0o600))
}

func tellExpand(_ *story, ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 1, "expand FILE")
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}
