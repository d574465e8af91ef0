package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Process is a server under measurement, in a process group of its own. It
// dies with the benchmark.
type Process struct {
	Name  string
	cmd   *exec.Cmd
	said  bytes.Buffer
	ended chan struct{}
}

// Start runs a server and waits until ready says that it answers, for 10 s at
// most.
func Start(name string, ready func() error, args ...string) (*Process, error) {
	p := &Process{Name: name, cmd: exec.Command(args[0], args[1:]...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	go func() { defer close(p.ended); _ = p.cmd.Wait() }() // how it ended is in what it said
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(10 * time.Second); ; {
		err := ready()
		if err == nil {
			return p, nil
		}
		select {
		case <-tick.C:
			continue
		case <-p.ended:
			err = fmt.Errorf("it has ended")
		case <-late:
		}
		p.Stop()
		return nil, fmt.Errorf("cannot measure %s: %w: %s", name, err, p.said.String())
	}
}

// stopWithin is how long a server may take to end when it is asked to.
const stopWithin = 5 * time.Second

// Stop ends the server's group and waits for it. A nil one is none.
func (p *Process) Stop() {
	if p == nil {
		return
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopWithin):
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // also whom it left behind
	<-p.ended
}

// Said is what the server has written; it is for after Stop.
func (p *Process) Said() string { return p.said.String() }

// CPU is the processor time that the server's group has used, those processes
// that it waited for among it, to 10 ms.
func (p *Process) CPU() (time.Duration, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	ticks := 0
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:])) // man 5 proc
		if fields[2] != strconv.Itoa(p.cmd.Process.Pid) {
			continue
		}
		for _, field := range fields[11:15] { // utime, stime, cutime, cstime
			n, err := strconv.Atoi(field)
			if err != nil {
				return 0, err
			}
			ticks += n
		}
	}
	const userHZ = 100
	return time.Duration(ticks) * time.Second / userHZ, nil
}
