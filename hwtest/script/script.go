// Package script runs tests that are files: it starts the executable, in the
// tree of the tools where it needs them, and reads figures, outcome and reason
// from what it leaves (docs/how-to/hardware-tests.md). It must not know where the
// files and the tools come from.
package script

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sprout"
	"sprout/hwtest"
)

const (
	// skipStatus is the exit status of a test that does not apply to the device.
	skipStatus = 77
	// mostFigures bounds the file of figures, in bytes.
	mostFigures = 64 << 10
	// lastWord is how long output may be open after the test has ended: by what
	// it has started and left behind.
	lastWord = 2 * time.Second
	// mostReason bounds why it failed, in bytes.
	mostReason = 300
)

// path is where programs are looked for.
const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// A File is a test's executable on this machine.
type File struct {
	Run sprout.TestRun
	// Name is the executable's, as it is seen within Root.
	Name string
	// Root is the tree that the test runs in; "" or "/": the machine's own. Its
	// /tmp must be writable.
	Root string
}

// Test makes a test of the file.
func (f File) Test() hwtest.Test {
	return hwtest.Test{Test: f.Run.Test, Told: f.Run.Parameters, Within: hwtest.Timeout(f.Run), Run: f.run}
}

// Missing says why the test cannot be run, and not on which device.
func Missing(run sprout.TestRun, why string) hwtest.Test {
	return hwtest.Test{Test: run.Test, Run: func(context.Context, hwtest.Device) ([]sprout.Metric, error) {
		return nil, errors.New("cannot run it: " + why)
	}}
}

func (f File) run(ctx context.Context, d hwtest.Device) ([]sprout.Metric, error) {
	for _, program := range f.Run.Test.Needs {
		if !f.has(program) {
			return nil, fmt.Errorf("cannot run it: there is no program %s among the tools", program)
		}
	}
	dir, err := os.MkdirTemp(filepath.Join(f.root(), "tmp"), "test-*")
	if err != nil {
		return nil, fmt.Errorf("cannot run it: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what is left is only room
	inside := "/" + strings.TrimPrefix(strings.TrimPrefix(dir, f.root()), "/")
	stop, err := keepMark(filepath.Join(dir, "mark"), d)
	if err != nil {
		return nil, fmt.Errorf("cannot run it: %w", err)
	}
	defer stop()
	var said hwtest.Tail
	ended := f.start(ctx, d, inside, io.MultiWriter(&said, d.Output))
	metrics, err := f.figures(filepath.Join(dir, "metrics"))
	if ended != nil {
		return metrics, reason(ended, said.LastLine())
	}
	return metrics, err
}

func (f File) root() string {
	if f.Root == "" {
		return "/"
	}
	return f.Root
}

// has tells whether a program is in the tree.
func (f File) has(program string) bool {
	return slices.ContainsFunc(filepath.SplitList(path), func(dir string) bool {
		info, err := os.Lstat(filepath.Join(f.root(), dir, program)) // a link leads on within the tree
		return err == nil && !info.IsDir()
	})
}

// start runs the executable to its end. When the context ends, it and all that it
// has started in its process group are killed.
func (f File) start(ctx context.Context, d hwtest.Device, dir string, out io.Writer) error {
	cmd := exec.CommandContext(ctx, f.Name)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, f.env(d, dir), out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if f.root() != "/" {
		cmd.SysProcAttr.Chroot = f.root()
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = lastWord
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot run it: %w", err)
	}
	err := cmd.Wait()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left behind would disturb the next
	if errors.Is(err, exec.ErrWaitDelay) {
		return nil // it ended well, and something that it left behind held its output open
	}
	return err
}

// env is what the test is told.
func (f File) env(d hwtest.Device, dir string) []string {
	env := []string{
		"PATH=" + path, "HOME=" + dir, "TMPDIR=" + dir, "LC_ALL=C",
		"SPROUT_DEVICE=" + d.Name, "SPROUT_METRICS=" + filepath.Join(dir, "metrics"), "SPROUT_MARK=" + filepath.Join(dir, "mark"),
	}
	switch f.Run.Test.Kind {
	case "disk":
		env = append(env, "SPROUT_PATH=/dev/"+d.Name)
	case "nic", "node":
		env = append(env, "SPROUT_AGENT="+d.Agent.URL, "SPROUT_TOKEN="+d.Agent.Token)
	}
	for name, value := range f.Run.Parameters {
		env = append(env, Variable(name)+"="+value)
	}
	return env
}

// Variable is the name of the environment's variable that holds a parameter.
func Variable(parameter string) string {
	return "SPROUT_" + strings.ToUpper(strings.ReplaceAll(parameter, "-", "_"))
}

// reason says why the test failed: its last word, or how it ended.
func reason(ended error, last string) error {
	var exit *exec.ExitError
	if !errors.As(ended, &exit) {
		return ended
	}
	if len(last) > mostReason {
		last = strings.ToValidUTF8(last[:mostReason], "") + "…"
	}
	if exit.ExitCode() == skipStatus {
		if last == "" {
			last = "it does not apply, and did not say why"
		}
		return &hwtest.SkipError{Reason: last}
	}
	if last == "" {
		return fmt.Errorf("it ended with %w and said nothing", exit)
	}
	return errors.New(last)
}

// figures reads lines of a name and a number; each must be declared. A test that
// declares figures and yields none of them has failed.
func (f File) figures(name string) ([]sprout.Metric, error) {
	file, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		if n := len(f.Run.Test.Metrics); n > 0 {
			return nil, fmt.Errorf("it ended well, but yielded none of its %d figures", n)
		}
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read its figures: %w", err)
	}
	defer file.Close() //nolint:errcheck // only read
	raw, err := io.ReadAll(io.LimitReader(file, mostFigures))
	if err != nil {
		return nil, fmt.Errorf("cannot read its figures: %w", err)
	}
	var found []sprout.Metric
	for line := range strings.Lines(string(raw)) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		m, why := f.figure(words)
		if why != "" {
			return found, fmt.Errorf("it yielded %.60q: %s", strings.TrimSpace(line), why)
		}
		if slices.ContainsFunc(found, func(o sprout.Metric) bool { return o.Name == m.Name }) {
			return found, fmt.Errorf("it yielded %s twice", m.Name)
		}
		found = append(found, m)
	}
	return found, nil
}

func (f File) figure(words []string) (m sprout.Metric, why string) {
	if len(words) != 2 {
		return m, "a figure is a name and a number"
	}
	i := slices.IndexFunc(f.Run.Test.Metrics, func(d sprout.TestMetric) bool { return d.Name == words[0] })
	if i < 0 {
		return m, "its header declares no such figure"
	}
	v, err := strconv.ParseFloat(words[1], 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return m, "that is no number"
	}
	return sprout.Metric{Name: words[0], Value: v, Unit: f.Run.Test.Metrics[i].Unit}, ""
}
