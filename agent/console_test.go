package agent

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"sprout"
	"sprout/power"
)

// A serialBMC has a console that the test speaks through.
type serialBMC struct {
	power.Provider
	mu     sync.Mutex
	opened int
	says   *io.PipeWriter
	typed  bytes.Buffer
	wrote  chan struct{} // something was typed
	fails  error
}

type serialLine struct {
	*io.PipeReader
	bmc *serialBMC
}

func (l serialLine) Write(b []byte) (int, error) {
	l.bmc.mu.Lock()
	defer l.bmc.mu.Unlock()
	n, err := l.bmc.typed.Write(b)
	l.bmc.wrote <- struct{}{}
	return n, err
}

func (b *serialBMC) Console(context.Context) (io.ReadWriteCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fails != nil {
		return nil, b.fails
	}
	b.opened++
	says, line := io.Pipe()
	b.says = line
	return serialLine{says, b}, nil
}

func (b *serialBMC) say(t *testing.T, words string) {
	t.Helper()
	b.mu.Lock()
	line := b.says
	b.mu.Unlock()
	if _, err := io.WriteString(line, words); err != nil {
		t.Fatal(err)
	}
}

// A consoleRig is consoles of one BMC, with a clock of the test's and what was said
// to the centre and recorded.
type consoleRig struct {
	*consoles
	bmc    *serialBMC
	said   chan sprout.ConsoleOutput
	events chan sprout.BootEvent

	mu      sync.Mutex
	at      time.Time
	attempt sprout.AttemptID
}

func (r *consoleRig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

func (r *consoleRig) later(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = r.at.Add(d)
}

func (r *consoleRig) boots(attempt sprout.AttemptID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempt = attempt
}

func newConsoleRig(t *testing.T) *consoleRig {
	t.Helper()
	r := &consoleRig{
		bmc: &serialBMC{wrote: make(chan struct{}, 64)}, said: make(chan sprout.ConsoleOutput, 64), events: make(chan sprout.BootEvent, 1024), at: trailNoon,
	}
	r.consoles = &consoles{
		power: func(sprout.MachineID) (power.Provider, error) { return r.bmc, nil },
		say:   func(l sprout.Live) error { r.said <- *l.Console; return nil },
		record: &recorders{
			attempt: func(sprout.MachineID) (sprout.AttemptID, bool) {
				r.mu.Lock()
				defer r.mu.Unlock()
				return r.attempt, r.attempt != ""
			},
			tell: func(e sprout.BootEvent) { r.events <- e }, now: r.now, of: map[sprout.MachineID]*recorder{}, always: map[sprout.MachineID]wantedLine{},
		},
		now: r.now, open: map[sprout.MachineID]*console{},
	}
	t.Cleanup(r.close)
	return r
}

func (r *consoleRig) ask(t *testing.T, kind string, q sprout.ConsoleQuestion) sprout.ConsoleAnswer {
	t.Helper()
	q.Machine = "mch_1"
	a, err := r.answer(t.Context(), kind, q)
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	return a
}

// heard waits for what the centre is told next.
func (r *consoleRig) heard(t *testing.T) sprout.ConsoleOutput {
	t.Helper()
	select {
	case out := <-r.said:
		return out
	case <-t.Context().Done():
		t.Fatal("nothing was said")
	}
	return sprout.ConsoleOutput{}
}

var (
	anna = sprout.ConsoleQuestion{View: "a", Token: "tok_a", Who: "anna", Type: true}
	ben  = sprout.ConsoleQuestion{View: "b", Token: "tok_b", Who: "ben"}
)

// A BMC has one console: all look at one, one types, and who comes later is told
// what was said last.
func TestAConsoleIsShared(t *testing.T) {
	r := newConsoleRig(t)
	first := r.ask(t, sprout.OpenConsole, anna)
	if first.Typist != "anna" || first.Stretch == "" {
		t.Fatalf("%+v", first)
	}
	r.bmc.say(t, "login: ")
	if out := r.heard(t); string(out.Data) != "login: " || out.At != 0 || out.Stretch != first.Stretch {
		t.Errorf("%+v", out)
	}
	second := r.ask(t, sprout.OpenConsole, ben)
	if second.Typist != "anna" || string(second.Recent) != "login: " || second.At != 7 || second.Stretch != first.Stretch {
		t.Errorf("%+v", second)
	}
	carl := sprout.ConsoleQuestion{View: "c", Token: "tok_c", Who: "carl", Type: true}
	if a := r.ask(t, sprout.OpenConsole, carl); a.Stretch != "" || a.Typist != "anna" || !a.Since.Equal(trailNoon) {
		t.Errorf("a second may type: %+v", a)
	}
	r.ask(t, sprout.CloseConsole, anna)
	if a := r.ask(t, sprout.OpenConsole, carl); a.Typist != "carl" {
		t.Errorf("nobody may type after the first has left: %+v", a)
	}
	if r.bmc.opened != 1 {
		t.Errorf("the BMC was asked for %d consoles", r.bmc.opened)
	}
}

// Keys are typed once however often they arrive, and by nobody else.
func TestKeysAreTypedOnce(t *testing.T) {
	r := newConsoleRig(t)
	r.ask(t, sprout.OpenConsole, anna)
	keys := func(at int64, text string) sprout.ConsoleQuestion {
		q := anna
		q.At, q.Keys = at, []byte(text)
		return q
	}
	for _, q := range []sprout.ConsoleQuestion{keys(0, "root\r"), keys(0, "root\r"), keys(3, "t\rls\r")} {
		r.ask(t, sprout.TypeConsole, q)
	}
	<-r.bmc.wrote
	<-r.bmc.wrote
	if got := r.bmc.typed.String(); got != "root\rls\r" {
		t.Errorf("typed %q", got)
	}
	other := keys(8, "x")
	other.Token = "tok_b"
	if a := r.ask(t, sprout.TypeConsole, other); a.Gone == "" {
		t.Error("another's token types")
	}
	r.ask(t, sprout.OpenConsole, ben)
	reader := keys(0, "x")
	reader.View, reader.Token, reader.Machine = "b", "tok_b", "mch_1"
	if _, err := r.answer(t.Context(), sprout.TypeConsole, reader); sprout.KindOf(err) != sprout.Conflict {
		t.Errorf("who reads may type: %v", err)
	}
	gap := keys(100, "x")
	gap.Machine = "mch_1"
	if _, err := r.answer(t.Context(), sprout.TypeConsole, gap); sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("a gap is not seen: %v", err)
	}
}

// Whoever is not heard of any more has left, and with the last the BMC's console is
// given back; what asks for it then opens it again.
func TestAViewThatNobodyKeepsEnds(t *testing.T) {
	r := newConsoleRig(t)
	r.ask(t, sprout.OpenConsole, anna)
	r.ask(t, sprout.OpenConsole, ben)
	r.later(sprout.KeepConsoleFor)
	r.ask(t, sprout.KeepConsole, ben)
	r.later(time.Second)
	r.expire()
	if a := r.ask(t, sprout.KeepConsole, anna); a.Gone == "" {
		t.Error("a view that nobody kept is there")
	}
	if a := r.ask(t, sprout.KeepConsole, ben); a.Gone != "" {
		t.Errorf("a view that was kept is not: %s", a.Gone)
	}
	r.ask(t, sprout.CloseConsole, ben)
	if out := r.heard(t); out.Ended == "" {
		t.Errorf("it goes on: %+v", out)
	}
	r.ask(t, sprout.OpenConsole, ben)
	if r.bmc.opened != 2 {
		t.Errorf("opened %d times", r.bmc.opened)
	}
}

// The BMC ends the console, or has none: whoever looks is told why.
func TestTheBMCEndsAConsole(t *testing.T) {
	r := newConsoleRig(t)
	r.ask(t, sprout.OpenConsole, anna)
	_ = r.bmc.says.Close()
	if out := r.heard(t); out.Ended != "the BMC has ended it" {
		t.Errorf("%+v", out)
	}
	if a := r.ask(t, sprout.KeepConsole, anna); a.Gone == "" {
		t.Error("the view is there still")
	}
	r.bmc.fails = sprout.Fail(sprout.BMCFailed, "cannot open the console: somebody else has it", "0x80")
	if a := r.ask(t, sprout.OpenConsole, ben); a.Failure == nil || !strings.Contains(a.Failure.Reason, "somebody else") || len(r.open) != 0 {
		t.Errorf("%+v", a)
	}
}

// A BMC that has no console is asked again and again during a boot; why it has none is
// told once.
func TestWhyNothingIsRecordedIsToldOnce(t *testing.T) {
	r := newConsoleRig(t)
	r.record.begin("mch_1")
	for _, why := range []string{"busy", "busy", "off", "off"} {
		r.record.failed("mch_1", sprout.Fail(sprout.BMCFailed, why, ""))
	}
	if len(r.events) != 2 {
		t.Fatalf("told %d times", len(r.events))
	}
	if first, second := <-r.events, <-r.events; first.Detail != "not recorded: busy" || second.Detail != "not recorded: off" {
		t.Errorf("told: %+v, %+v", first, second)
	}
}

// What a console says while work boots the machine is in the timeline: what tells
// of trouble at once, and of the rest what was last before a silence; never what is
// said to somebody who types, nor what belongs to no boot.
func TestAConsoleIsRecorded(t *testing.T) {
	r := newConsoleRig(t)
	r.bmc.fails = sprout.Fail(sprout.BMCFailed, "busy", "")
	r.boots("att_1")
	r.record.begin("mch_1")
	r.watch()
	if e := <-r.events; e.Code != sprout.BMCFailed || e.Detail != "not recorded: busy" {
		t.Errorf("%+v", e)
	}
	r.bmc.mu.Lock()
	r.bmc.fails = nil
	r.bmc.mu.Unlock()
	r.watch()
	if len(r.open) != 0 {
		t.Error("the BMC is asked again at once")
	}
	r.later(recordRetry)
	r.watch()
	one, err := r.get("mch_1", true)
	if err != nil {
		t.Fatal(err)
	}
	<-one.ready
	var text strings.Builder
	for i := range 30 {
		text.WriteString(strings.Repeat("x", i) + " line\r\n")
	}
	r.bmc.say(t, text.String()+"\x1b[1;31m[ 1.2] Kernel panic - not syncing\x1b[0m\r\nlogin: ")
	r.bmc.say(t, "") // it has been read
	if e := <-r.events; e.Detail != "[ 1.2] Kernel panic - not syncing" || e.Attempt != "att_1" || e.What != sprout.SawConsole {
		t.Errorf("%+v", e)
	}
	r.later(recordSilence)
	r.record.settle()
	if len(r.events) != recordLines+1 {
		t.Errorf("%d lines of a silence, want the last %d and the one that is not whole", len(r.events), recordLines)
	}
	for range recordLines {
		<-r.events
	}
	if e := <-r.events; e.Detail != "login:" {
		t.Errorf("the last is %q", e.Detail)
	}

	r.ask(t, sprout.OpenConsole, anna)
	q := anna
	q.Keys = []byte("cat key\r")
	r.ask(t, sprout.TypeConsole, q)
	r.bmc.say(t, "BEGIN PRIVATE KEY, out of memory\r\n")
	r.heard(t)
	r.bmc.say(t, "")
	r.ask(t, sprout.CloseConsole, anna)
	r.boots("")
	r.later(recordSilence)
	r.watch()
	if out := r.heard(t); out.Ended == "" {
		t.Errorf("the console is kept after the boot: %+v", out)
	}
	if len(r.events) != 0 {
		t.Errorf("what was said to somebody who types is recorded: %+v", <-r.events)
	}
}

func TestLinesOfAConsole(t *testing.T) {
	for said, want := range map[string]string{
		"one\r\ntwo\n\n\rthree":              "one|two",
		"\x1b[2J\x1b[1;1HBIOS\x1b[3;1HOK\n":  "BIOS|OK",
		"\x1b]0;title\x07a\x1b]0;t\x1b\\b\n": "ab",
		"passwort\bd:\n":                     "password:",
		"a\tb\x00\x7f\xff\n":                 "a b?",
		strings.Repeat("é", 400) + "\n":      strings.Repeat("é", longestSaid/2),
	} {
		var whole, apart lineReader
		if got := strings.Join(whole.read([]byte(said)), "|"); got != want {
			t.Errorf("%q: %q, want %q", said, got, want)
		}
		var lines []string
		for i := range len(said) {
			lines = append(lines, apart.read([]byte{said[i]})...)
		}
		if got := strings.Join(lines, "|"); got != want {
			t.Errorf("%q byte by byte: %q, want %q", said, got, want)
		}
	}
}
