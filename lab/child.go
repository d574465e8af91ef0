package lab

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// An agentChild keeps the site's agent running: it is started again when it
// dies, until it is told to stop.
type agentChild struct {
	dir     string // of the lab
	argv    []string
	environ []string
	starter *starter
	log     *slog.Logger

	mu       sync.Mutex
	process  *os.Process // nil: not running
	stopped  bool
	restarts int
	wake     chan struct{} // has room for one
}

// The agent's patience and ours.
const (
	agentRest  = time.Second      // before it is started again
	agentGrace = 10 * time.Second // to end by itself
)

const agentPidFile = "agent.pid"

// keep runs the agent until ctx ends.
func (a *agentChild) keep(ctx context.Context) {
	for ctx.Err() == nil {
		if a.wanted() {
			if err := a.once(ctx); err != nil {
				a.log.Warn("agent ended", "err", err)
			}
			a.rest(ctx)
			continue
		}
		select {
		case <-a.wake:
		case <-ctx.Done():
		}
	}
}

func (a *agentChild) wanted() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.stopped
}

func (a *agentChild) rest(ctx context.Context) {
	select {
	case <-time.After(agentRest):
	case <-a.wake:
	case <-ctx.Done():
	}
}

// once runs the agent to its end.
func (a *agentChild) once(ctx context.Context) error {
	out, err := os.OpenFile(AgentLogPath(a.dir), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close() //nolint:errcheck // it is the child that writes
	cmd := exec.Command(a.argv[0], a.argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = a.dir, a.environ, out, out
	if err := a.starter.start(cmd); err != nil {
		return fmt.Errorf("cannot start the agent: %w", err)
	}
	a.started(cmd.Process)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		_ = cmd.Process.Signal(syscall.SIGTERM) // gone already is as good
		select {
		case err = <-ended:
		case <-time.After(agentGrace):
			_ = cmd.Process.Kill()
			err = <-ended
		}
	}
	a.ended()
	return err
}

func (a *agentChild) started(p *os.Process) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.process = p
	a.restarts++
	a.log.Info("agent started", "pid", p.Pid)
	if err := os.WriteFile(a.pidPath(), []byte(strconv.Itoa(p.Pid)), 0o600); err != nil {
		a.log.Warn("cannot record the agent's pid", "err", err)
	}
	if a.stopped { // told so while it was being started
		_ = p.Signal(syscall.SIGTERM)
	}
}

func (a *agentChild) ended() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.process = nil
	_ = os.Remove(a.pidPath()) // a stale one is seen through
}

func (a *agentChild) pidPath() string { return filepath.Join(a.dir, agentPidFile) }

// kill ends the agent at once; it comes back.
func (a *agentChild) kill() { a.signal(syscall.SIGKILL) }

// stop ends the agent until start.
func (a *agentChild) stop() {
	a.mu.Lock()
	a.stopped = true
	a.mu.Unlock()
	a.signal(syscall.SIGTERM)
}

func (a *agentChild) start() {
	a.mu.Lock()
	a.stopped = false
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *agentChild) signal(s syscall.Signal) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.process != nil {
		_ = a.process.Signal(s) // gone already is as good
	}
}

// state returns the agent's pid, 0 if it does not run, and how often it was
// started.
func (a *agentChild) state() (pid, starts int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.process != nil {
		pid = a.process.Pid
	}
	return pid, a.restarts
}
