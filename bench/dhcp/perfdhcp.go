package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"sprout/bench"
)

// A trial is what perfdhcp saw of one server at one rate.
type trial struct {
	rate      float64   // 4-way exchanges completed, a second
	exchanges int       // completed
	lost      float64   // the share of packets that were not answered: of either kind, the larger
	delays    []float64 // of every answer in milliseconds, sorted; where asked for
}

var errNone = errors.New("no exchange was completed")

// sound says what is wrong with a trial whose server was given work that it did
// not do: it looks cheaper and quicker than it is.
func (t trial) sound() error {
	switch {
	case t.exchanges == 0:
		return errNone
	case t.lost >= mayLose:
		return fmt.Errorf("%.2f %% of the packets stayed without an answer, under %g %% may", 100*t.lost, 100*mayLose)
	}
	return nil
}

// generate has perfdhcp ask at the rate.
func (b *bed) generate(rate int, delays bool) (trial, error) {
	args := []string{
		"perfdhcp", "-4", "-l", relayIP, "-R", strconv.Itoa(b.clients),
		"-r", strconv.Itoa(rate), "-p", strconv.Itoa(int(b.period / time.Second)), "-W", "500000",
	}
	if delays {
		args = append(args, "-x", "t")
	}
	out, err := b.inGenerator(append(args, serverIP)...)
	if err != nil && !someLost(err) {
		return trial{}, fmt.Errorf("cannot run perfdhcp: %w: %s", err, out)
	}
	return read(out)
}

// someLost tells whether perfdhcp ended with its status for exchanges that were
// not completed.
func someLost(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() == 3
}

var (
	rateLine  = regexp.MustCompile(`(?m)^Rate: ([0-9.e+]+) 4-way`)
	pairLine  = regexp.MustCompile(`(?m)^sent / received: ([0-9.]+) / ([0-9.]+)`)
	countLine = regexp.MustCompile(`(?m)^(sent packets|received packets): (\d+)`)
)

// read takes perfdhcp's report apart.
func read(out []byte) (t trial, err error) {
	m := rateLine.FindSubmatch(out)
	counts := countLine.FindAllSubmatch(out, -1)
	if m == nil || len(counts) < 4 {
		return t, fmt.Errorf("cannot read perfdhcp's report: %s", out)
	}
	if t.rate, err = strconv.ParseFloat(string(m[1]), 64); err != nil {
		return t, err
	}
	for i := 0; i+1 < 4; i += 2 {
		sent, _ := strconv.ParseFloat(string(counts[i][2]), 64)
		received, _ := strconv.ParseFloat(string(counts[i+1][2]), 64)
		t.exchanges = int(received)
		t.lost = max(t.lost, 1-received/math.Max(sent, 1))
	}
	t.delays = delaysOf(out)
	return t, nil
}

// delaysOf reads when each packet was sent, and when it was answered, in seconds.
func delaysOf(out []byte) (ms []float64) {
	for _, m := range pairLine.FindAllSubmatch(out, -1) {
		sent, _ := strconv.ParseFloat(string(m[1]), 64)
		received, _ := strconv.ParseFloat(string(m[2]), 64)
		ms = append(ms, 1000*(received-sent))
	}
	slices.Sort(ms)
	return ms
}

// fresh is a server of the kind, with nothing leased, that answers.
func (b *bed) fresh(kind string, reservations int) (*bench.Process, error) {
	args := []string{"", "--serve", kind, "--dir", filepath.Join(b.dir, "site"), "--clients", strconv.Itoa(b.clients), "--reservations", strconv.Itoa(reservations)}
	if kind == kea {
		config, err := b.configureKea()
		if err != nil {
			return nil, err
		}
		args = []string{"env", "KEA_LOCKFILE_DIR=none", "KEA_PIDFILE_DIR=" + b.dir, "kea-dhcp4", "-c", config}
	} else {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		args[0] = self
		if b.profile != "" {
			args = append(args, "--profile", b.profile)
		}
	}
	return bench.Start(kind, b.answers, args...)
}

// answers says why the server does not answer yet.
func (b *bed) answers() error {
	out, err := b.inGenerator("perfdhcp", "-4", "-l", relayIP, "-n", "5", "-r", "50", "-W", "100000", serverIP)
	if err != nil && !someLost(err) {
		return err
	}
	t, err := read(out)
	if err == nil && t.exchanges == 0 {
		err = errNone
	}
	return err
}

func (b *bed) inGenerator(args ...string) ([]byte, error) {
	return exec.CommandContext(b.ctx, "nsenter", append([]string{"-t", strconv.Itoa(b.holder.Process.Pid), "-n", "--"}, args...)...).Output()
}

// during runs f beside a fresh server, and stops that.
func (b *bed) during(kind string, reservations int, f func(s *bench.Process) error) error {
	s, err := b.fresh(kind, reservations)
	if err != nil {
		return err
	}
	defer s.Stop()
	return f(s)
}
