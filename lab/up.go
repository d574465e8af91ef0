package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sprout"
)

// The files that Up gives to the supervisor.
const (
	hostFD  = 3 // network namespace of the host
	readyFD = 4 // where it says that it is up
)

// Up starts a lab and returns once it stands: a process of its own that
// outlives ours, run from executable as "lab serve --dir DIR". What an earlier
// lab in the directory left behind after a crash is cleaned up first; its
// machines are racked again, switched off. A lab that runs already is a Conflict.
func Up(ctx context.Context, config Config, executable string, log *slog.Logger) (*Client, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, sprout.Errorf(sprout.Denied, "cannot make a network namespace: this needs root").WithRemedy("sudo sprout lab up")
	}
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the lab's directory: %w", err)
	}
	lock, err := takeLock(config.Dir)
	if err != nil {
		return nil, err
	}
	err = prepare(config, log)
	if err = errors.Join(err, lock.Close()); err != nil { // the supervisor takes it
		return nil, err
	}
	if err := launch(ctx, config.Dir, executable); err != nil {
		return nil, err
	}
	return NewClient(config.Dir), nil
}

// prepare cleans up and writes the config. A namespace of another lab is found
// here already, though it is decided when the supervisor makes its own.
func prepare(config Config, log *slog.Logger) error {
	if err := cleanup(config.Dir, log); err != nil {
		return err
	}
	if _, err := os.Lstat(netnsPath(config.Name)); err == nil {
		return netnsTaken(config.Name)
	}
	for path, content := range map[string]string{AgentConfigPath(config.Dir): config.AgentConfig, AgentTokenPath(config.Dir): config.AgentToken} {
		if content == "" {
			continue
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return fmt.Errorf("cannot write the agent's files: %w", err)
		}
	}
	return writeJSON(configPath(config.Dir), config)
}

// launch starts the supervisor in a network namespace of its own and waits
// until it says that it is up.
func launch(ctx context.Context, dir, executable string) error {
	host, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return fmt.Errorf("cannot open our network namespace: %w", err)
	}
	defer host.Close() //nolint:errcheck // only read
	listen, say, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("cannot make a pipe: %w", err)
	}
	defer listen.Close() //nolint:errcheck // only read
	log, err := os.OpenFile(LogPath(dir), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return errors.Join(fmt.Errorf("cannot open the lab's log: %w", err), say.Close())
	}
	defer log.Close() //nolint:errcheck // it is the child that writes
	cmd := exec.Command(executable, "lab", "serve", "--dir", dir)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = dir, log, log, []*os.File{host, say}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_NEWNET}
	err = cmd.Start()
	_ = say.Close() // the child has its own
	if err != nil {
		return fmt.Errorf("cannot start the lab: %w", err)
	}
	return awaitReady(ctx, cmd, listen, dir)
}

// awaitReady reads what the supervisor says until it closes the pipe, which it
// does at the latest by ending.
func awaitReady(ctx context.Context, cmd *exec.Cmd, listen *os.File, dir string) error {
	stop := context.AfterFunc(ctx, func() { _ = listen.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	said, err := io.ReadAll(listen)
	if err == nil && string(said) == "ok" {
		return cmd.Process.Release()
	}
	if err != nil {
		_ = cmd.Process.Signal(syscall.SIGTERM) // gone already is as good
	}
	_ = cmd.Wait() // what it said matters
	if err != nil {
		return fmt.Errorf("cannot wait for the lab: %w", errors.Join(ctx.Err(), err))
	}
	words := strings.TrimSpace(string(said))
	if words == "" {
		words = "it ended without a word: " + tail(LogPath(dir))
	}
	return sprout.Errorf(sprout.Unavailable, "cannot start the lab: %s", words).WithRemedy("see %s", LogPath(dir))
}

// Attach returns the files that Up gave to this process, the supervisor.
func Attach() (host *os.File, ready *os.File, err error) {
	for _, fd := range []uintptr{hostFD, readyFD} {
		unix.CloseOnExec(int(fd))
		if _, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err != nil {
			return nil, nil, sprout.Errorf(sprout.Invalid, "cannot serve a lab that was not started by: sprout lab up")
		}
	}
	return os.NewFile(hostFD, "host network namespace"), os.NewFile(readyFD, "ready"), nil
}

// downPatience is how long a lab may take to end before it is killed.
const downPatience = 30 * time.Second

// Down ends the lab in dir, however it is: running, hung, or crashed. Its
// directory goes too, unless keep is set. No lab is no error.
func Down(ctx context.Context, dir string, keep bool, log *slog.Logger) error {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := NewClient(dir).down(ctx); err != nil && !errors.Is(err, ErrNoLab) {
		log.Warn("the lab does not answer", "err", err)
	}
	lock, err := awaitLock(ctx, dir, downPatience)
	if sprout.KindOf(err) == sprout.Conflict {
		if err := killSupervisor(dir, log); err != nil {
			return err
		}
		lock, err = awaitLock(ctx, dir, downPatience)
	}
	if err != nil {
		return err
	}
	defer lock.Close() //nolint:errcheck // only held
	if err := cleanup(dir, log); err != nil || keep {
		return err
	}
	return removeFiles(dir)
}
