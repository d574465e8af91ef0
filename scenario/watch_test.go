package scenario_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"sprout/cli"
)

// A watch is a command line that runs beside the story.
type watch struct {
	stop func()
	keys io.Writer // its standard input

	mu   sync.Mutex
	text bytes.Buffer // what it printed
	at   int          // how much of it was awaited
	code int          // once it has ended, which is too early while the story goes on
	over bool
}

func (w *watch) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

// tellWatch starts a command line. It reaches the control plane through the
// WAN's link, whose address stays when the control plane starts again.
func tellWatch(s *story, ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 2 && args[1] == "sprout", "watch NAME sprout ARG…")
	ctx, cancel := context.WithCancel(context.Background())
	stdin, keys := io.Pipe()
	w, ended := &watch{keys: keys}, make(chan struct{})
	w.stop = func() { cancel(); <-ended; _ = stdin.Close() }
	line := append([]string{"--server", "https://" + s.api.Address(), "--token", s.token, "--ca", s.authority()}, args[2:]...)
	go func() {
		defer close(ended)
		code := cli.Main(ctx, line, stdin, w, w)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.code, w.over = code, true
	}()
	s.watches[args[0]] = w
}

// tellType types words at a watch, and Enter.
func tellType(s *story, ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2 && s.watches[args[0]] != nil, "type NAME WORDS")
	_, err := io.WriteString(s.watches[args[0]].keys, args[1]+"\r")
	ts.Check(err)
}

// tellTold waits until a watch has printed a line.
func tellTold(s *story, ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2 && s.watches[args[0]] != nil, "told NAME WORDS")
	words, err := regexp.Compile("(?m)^.*" + args[1] + ".*$")
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ts.Check(eventually(ctx, func() (bool, string) { return s.watches[args[0]].has(words) }))
}

func (w *watch) has(words *regexp.Regexp) (bool, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rest := w.text.Bytes()[w.at:]
	if found := words.FindIndex(rest); found != nil {
		w.at += found[1]
		return true, ""
	}
	if w.over {
		return false, fmt.Sprintf("it has ended with code %d: %s", w.code, w.text.Bytes())
	}
	return false, fmt.Sprintf("no %s in %q", words, rest)
}
