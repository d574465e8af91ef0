package lab

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"sprout"
)

// A starter starts every child from one OS thread that lives as long as it
// does: a child's parent-death signal follows the parent's thread, not its
// process (prctl(2), PR_SET_PDEATHSIG). So children die with the supervisor,
// also when it is killed, and not before.
type starter struct {
	work  chan func()
	ended sync.WaitGroup
}

func newStarter() *starter {
	s := &starter{work: make(chan func())}
	s.ended.Go(func() {
		runtime.LockOSThread() // never unlocked: the thread ends with us
		for do := range s.work {
			do()
		}
	})
	return s
}

// start starts cmd with SIGKILL as its parent-death signal, in a process group
// of its own so that a terminal's signals do not reach it.
func (s *starter) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	result := make(chan error, 1)
	s.work <- func() { result <- cmd.Start() }
	return <-result
}

// close ends the thread, and with it any child that still runs.
func (s *starter) close() {
	close(s.work)
	s.ended.Wait()
}

// lookPath finds the program of argv.
func lookPath(argv []string) (string, error) {
	if len(argv) == 0 {
		return "", sprout.Errorf(sprout.Invalid, "cannot run nothing: name a command")
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return "", sprout.Errorf(sprout.NotFound, "cannot run %s: %w", argv[0], err)
	}
	return path, nil
}
