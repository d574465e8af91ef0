package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// typed runs a command line that reaches no control plane.
func typed(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	code = MainWith(t.Context(), args, strings.NewReader(""), &out, &errs, func(name string) string {
		return map[string]string{"SPROUT_SERVER": "http://127.0.0.1:1", "SPROUT_TOKEN": "x", "SPROUT_CONFIG": t.TempDir() + "/none.yaml", "HOME": t.TempDir()}[name]
	})
	return code, out.String(), errs.String()
}

// path is a command line without the program's name.
func path(c *cobra.Command) []string { return strings.Fields(c.CommandPath())[1:] }

// Every command explains itself without a control plane, and refuses a flag that
// it does not have, with what it may have been meant to be.
func TestEveryCommandHelpsAndRefuses(t *testing.T) {
	root := rootCommand(newEnv(strings.NewReader(""), &strings.Builder{}, &strings.Builder{}))
	seen := 0
	documented(root, func(c *cobra.Command) {
		if c == root || c.Name() == "help" || slices.Contains(path(c), "completion") {
			return
		}
		seen++
		code, out, errs := typed(t, append(path(c), "--help")...)
		if code != 0 || !strings.Contains(out, cmp.Or(c.Long, c.Short)) || errs != "" {
			t.Errorf("%s --help: exit code %d, %q, %q", c.CommandPath(), code, out, errs)
		}
		for flag, hint := range map[string]string{"--colour": "--help", "--outptu=json": "try: --output"} {
			code, out, errs = typed(t, append(path(c), flag)...)
			if code != exitUsage || out != "" || !strings.HasPrefix(errs, "sprout: unknown flag: "+strings.SplitN(flag, "=", 2)[0]) || !strings.Contains(errs, hint) {
				t.Errorf("%s %s: exit code %d, %q, %q", c.CommandPath(), flag, code, out, errs)
			}
		}
	})
	if seen < 60 {
		t.Errorf("only %d commands were tried", seen)
	}
}

func TestFirstSteps(t *testing.T) {
	code, out, errs := typed(t)
	if code != 0 || errs != "" || !strings.Contains(out, "sprout dev") || !strings.Contains(out, "http://127.0.0.1:1") {
		t.Errorf("exit code %d, %q, %q", code, out, errs)
	}
	for _, step := range firstSteps {
		if err := resolves(strings.Fields(step.Name)[1:]); err != nil {
			t.Errorf("%s: %v", step.Name, err)
		}
	}
}

// The codes that errors end with are those of the table.
func TestExitCodesAreInTheTable(t *testing.T) {
	for _, code := range []int{exitDone, exitFailed, exitUsage, exitPartly, exitUnconfirmed, exitUnavailable, exitInterrupted} {
		if !slices.ContainsFunc(exitCodes, func(row struct {
			Code  int
			Means string
		}) bool {
			return row.Code == code && row.Means != ""
		}) {
			t.Errorf("%d is not in the table", code)
		}
	}
	if code, _, errs := typed(t, "machine", "list"); code != exitUnavailable || !strings.Contains(errs, "try: ") {
		t.Errorf("no control plane: exit code %d, %s", code, errs)
	}
}

// A control plane that does not answer keeps no shell waiting.
func TestCompletionGivesUp(t *testing.T) {
	over := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-over:
		case <-r.Context().Done():
		}
	}))
	defer slow.Close()
	defer close(over)
	var out, errs strings.Builder
	code := MainWith(t.Context(), []string{"__complete", "machine", "show", ""}, strings.NewReader(""), &out, &errs, func(name string) string {
		return map[string]string{"SPROUT_SERVER": slow.URL, "SPROUT_TOKEN": "x"}[name]
	})
	if code != 0 || strings.TrimSpace(out.String()) != ":4" {
		t.Errorf("exit code %d, %q, %q", code, out.String(), errs.String())
	}
}

// Completion asks once, for the machines that begin as the word does and for no
// more than are suggested, however many there are.
func TestCompletionAsksForWhatBegins(t *testing.T) {
	var asked []string
	many := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		asked = append(asked, r.URL.Path+" name="+q.Get("name")+" limit="+q.Get("limit"))
		limit, err := strconv.Atoi(q.Get("limit"))
		if err != nil {
			t.Error(err)
		}
		var items []string
		for i := range limit { // there are always more
			items = append(items, fmt.Sprintf(`{"id":"wfl_%[1]d","name":"web-%[1]d","siteName":"lon1","state":"ready"}`, i))
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"items":[%s],"next":"more"}`, strings.Join(items, ","))
	}))
	defer many.Close()
	for _, c := range []struct{ line, asked, word string }{
		{"machine show web", "/v1/machines name=web limit=100", "web-99\tlon1, ready"},
		{"machine show ", "/v1/machines name= limit=100", "web-99\tlon1, ready"},
		{"workflow list --machine we", "/v1/machines name=we limit=100", "web-99"},
		{"workflow show wfl_9", "/v1/workflows name= limit=100", "wfl_99"},
		{"problem show wfl", "/v1/problems name= limit=100", "wfl_99"},
	} {
		asked = nil
		var out, errs strings.Builder
		code := MainWith(t.Context(), append([]string{"__complete"}, strings.Split(c.line, " ")...), strings.NewReader(""), &out, &errs, func(name string) string {
			return map[string]string{"SPROUT_SERVER": many.URL, "SPROUT_TOKEN": "x"}[name]
		})
		if code != 0 || len(asked) != 1 || asked[0] != c.asked || !strings.Contains(out.String(), c.word) {
			t.Errorf("%s: exit code %d, asked %q, want %q once; %.200s %s", c.line, code, asked, c.asked, out.String(), errs.String())
		}
	}
}

// Whoever stops watching is told that the work goes on, and how to watch again.
func TestInterruptedWait(t *testing.T) {
	const running = `{"id":"wfl_1","kind":"deploy","machineName":"m1","state":"running","step":"write-image","steps":[],"version":"%d"}`
	asked := make(chan struct{}, 1000)
	plane := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		if r.URL.Query().Get("after") != "" {
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, running, 1)
	}))
	defer plane.Close()
	e := newEnv(strings.NewReader(""), &strings.Builder{}, &strings.Builder{})
	var out, errs strings.Builder
	e.stdout, e.stderr = &out, &errs
	e.getenv = func(name string) string {
		return map[string]string{"SPROUT_SERVER": plane.URL, "SPROUT_TOKEN": "x"}[name]
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	go func() {
		for range 3 { // it was asked what it is, followed, and asked again
			<-asked
		}
		interrupt()
	}()
	root := rootCommand(e)
	root.SetArgs([]string{"workflow", "wait", "wfl_1"})
	err := root.ExecuteContext(ctx)
	if code := e.fail(err); code != exitInterrupted {
		t.Errorf("exit code %d: %v", code, err)
	}
	for _, words := range []string{"the work goes on: deploy of m1", "watch again:  sprout workflow wait wfl_1", "undo it:      sprout workflow cancel wfl_1"} {
		if !strings.Contains(errs.String(), words) {
			t.Errorf("it says %q, without %q", errs.String(), words)
		}
	}
}

// A table is no wider than the terminal; what is piped, or asked for as wide, is whole.
func TestTableFitsTheTerminal(t *testing.T) {
	rows := []string{strings.Repeat("long ", 30), "\x1b[2Jclears\x07\nthe screen"}
	columns := []column[string]{
		{Name: "NAME", Value: func(string) string { return "a-name-that-is-not-cut" }},
		{Name: "DETAIL", Value: func(s string) string { return s }},
		{Name: "WHEN", Value: func(string) string { return "now" }},
	}
	write := func(room int, format string) string {
		var out strings.Builder
		e := newEnv(strings.NewReader(""), &out, &out)
		e.columns, e.format = room, format
		writeTable(e, rows, columns)
		return out.String()
	}
	narrow := write(60, "table")
	for line := range strings.Lines(narrow) {
		if n := cellWidth(strings.TrimRight(line, "\n")); n > 60 {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	if !strings.Contains(narrow, "a-name-that-is-not-cut") || !strings.Contains(narrow, "…") || !strings.Contains(narrow, "clearsthe screen") && !strings.Contains(narrow, "clears the screen") || strings.Contains(narrow, "\x1b") {
		t.Errorf("%q", narrow)
	}
	for _, whole := range []string{write(0, "table"), write(60, "wide")} {
		if !strings.Contains(whole, strings.TrimSpace(rows[0])) {
			t.Errorf("cut: %q", whole)
		}
	}
}
