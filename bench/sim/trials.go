package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"sprout/sim/trial"
)

// trials are the runs of the simulator that the lines share, each made once.
type trials struct {
	binary     string
	sites      int
	few, many  int
	limit      time.Duration
	keep       string
	once       map[string]func() (measured, error)
	stopWithin time.Duration
}

// measured is what a trial reports, and how slow the processors were meanwhile.
type measured struct {
	trial.Report
	pace float64 // milliseconds of the pacer's piece of work
}

// stormWithin is the time in which a storm's machines are powered on.
const stormWithin = time.Minute

// begin makes the trials ready to run until ctx ends.
func (t *trials) begin(ctx context.Context) {
	t.stopWithin = 2 * time.Minute
	t.once = map[string]func() (measured, error){
		"before": t.making(ctx, "before", t.few, "--by-stage"),
		"large":  t.making(ctx, "large", t.many, "--by-stage"),
		"after":  t.making(ctx, "after", t.few, "--by-stage"),
		"storm":  t.making(ctx, "storm", t.many, "--workflow", "discover", "--within", stormWithin.String()),
	}
}

func (t *trials) before() (measured, error) { return t.once["before"]() }
func (t *trials) large() (measured, error)  { return t.once["large"]() }
func (t *trials) after() (measured, error)  { return t.once["after"]() }
func (t *trials) storm() (measured, error)  { return t.once["storm"]() }

func (t *trials) making(ctx context.Context, name string, machines int, args ...string) func() (measured, error) {
	return sync.OnceValues(func() (measured, error) {
		args := append([]string{"sim", "-o", "json", "--sites", strconv.Itoa(t.sites), "--machines", strconv.Itoa(machines)}, args...)
		if t.keep != "" {
			args = append(args, "--report", filepath.Join(t.keep, name))
		}
		return t.try(ctx, name, args)
	})
}

// try runs the simulator once. One that is stopped, or in which machines were
// lost, has a report all the same: the lines say what is wrong.
func (t *trials) try(ctx context.Context, name string, args []string) (r measured, err error) {
	fmt.Fprintf(os.Stderr, "%s: %s %s (load %s)\n", name, t.binary, strings.Join(args, " "), load())
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, t.binary, args...)
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = t.stopWithin
	pace := startPacer()
	failed := cmd.Run()
	if r.pace, err = pace.end(); err != nil {
		return r, err
	}
	if err := json.Unmarshal(out.Bytes(), &r.Report); err != nil {
		return r, fmt.Errorf("cannot read the report of the %s trial: %w", name, errors.Join(failed, err))
	}
	fmt.Fprintf(os.Stderr, "%s: %s, in %.0f s; %.0f ready a minute, %.0f ms and %.0f statements a machine (load %s; %.2f ms for a piece of work)\n",
		name, r.Summary(), r.Seconds, r.PerMinute.Ready, 1000*r.Cost.CPUPerMachine, r.Cost.SQLPerMachine, load(), r.pace)
	return r, nil
}

// load is what else the machine does, for who reads the figures.
func load() string {
	raw, err := os.ReadFile("/proc/loadavg")
	if fields := strings.Fields(string(raw)); err == nil && len(fields) > 0 {
		return fields[0]
	}
	return "unknown"
}
