package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sprout"
)

// takeLock takes the lock that a running lab holds over its directory. It ends
// with the process. A lab that runs is a Conflict.
func takeLock(dir string) (*os.File, error) {
	f, err := os.OpenFile(lockPath(dir), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the lab: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, sprout.Errorf(sprout.Conflict, "the lab in %s runs already", dir).WithRemedy("sprout lab status; sprout lab down")
		}
		return nil, fmt.Errorf("cannot lock the lab: %w", err)
	}
	// Whoever opens the file now finds our pid in it.
	return f, errors.Join(f.Truncate(0), writeAt(f, strconv.Itoa(os.Getpid())))
}

func writeAt(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

// awaitLock takes the lock within patience.
func awaitLock(ctx context.Context, dir string, patience time.Duration) (*os.File, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		lock, err := takeLock(dir)
		if err == nil || sprout.KindOf(err) != sprout.Conflict {
			return lock, err
		}
		select {
		case <-tick.C:
		case <-deadline:
			return nil, err
		case <-ctx.Done():
			return nil, fmt.Errorf("cannot wait for the lab to end: %w", ctx.Err())
		}
	}
}

// killSupervisor kills a supervisor that holds the lock and does not end. Its
// children die with it.
func killSupervisor(dir string, log *slog.Logger) error {
	raw, err := os.ReadFile(lockPath(dir))
	if err != nil {
		return fmt.Errorf("cannot find the lab's process: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	words := bytes.Split(procFile(pid, "cmdline"), []byte{0})
	if err != nil || !slices.ContainsFunc(words, func(w []byte) bool { return string(w) == dir }) {
		return sprout.Errorf(sprout.Conflict, "cannot end the lab in %s: process %q holds it and is no lab", dir, raw)
	}
	log.Warn("killing the lab: it does not end", "pid", pid)
	return unix.Kill(pid, unix.SIGKILL)
}

// cleanup ends what a crashed lab left: processes whose environment says that
// they were its, and its namespace's name. The lock must be held.
func cleanup(dir string, log *slog.Logger) error {
	pids, err := filepath.Glob(filepath.Join(rackPath(dir), "*", pidFile))
	if err != nil {
		return fmt.Errorf("cannot look for machines: %w", err)
	}
	for _, path := range append(pids, filepath.Join(dir, agentPidFile)) {
		if err := endLeftover(dir, path, log); err != nil {
			return err
		}
	}
	config, err := ReadConfig(dir)
	if sprout.KindOf(err) == sprout.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	return unnameNetns(config)
}

// endLeftover kills the process that a pid file names, if it is still the one
// that was meant, and waits until it is gone.
func endLeftover(dir, path string, log *slog.Logger) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil // none was left
	}
	defer os.Remove(path) //nolint:errcheck // a file that stays names a process that has ended
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil || pid <= 1 {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0) // holds on to this very process
	if err != nil {
		return nil
	}
	defer unix.Close(fd) //nolint:errcheck // only waited on
	mark := []byte(envDir + "=" + dir)
	if !slices.ContainsFunc(bytes.Split(procFile(pid, "environ"), []byte{0}), func(w []byte) bool { return bytes.Equal(w, mark) }) {
		return nil
	}
	log.Warn("ending what a crashed lab left", "pid", pid, "file", path)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("cannot end process %d: %w", pid, err)
	}
	if err := awaitExit(fd, 10*time.Second); err != nil {
		return fmt.Errorf("cannot end process %d: %w", pid, err)
	}
	return nil
}

// awaitExit waits for the process of a pidfd to end.
func awaitExit(pidfd int, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	for {
		left := max(time.Until(deadline), 0)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(left.Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("cannot wait for a process to end: %w", err)
		case n == 0:
			return fmt.Errorf("it did not end within %s", patience)
		default:
			return nil
		}
	}
}

// procFile reads a file of a process, nil if it is gone.
func procFile(pid int, name string) []byte {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), name))
	if err != nil {
		return nil
	}
	return raw
}

// removeFiles deletes what labs make in their directory, and the directory if
// nothing else is in it: a mistyped --dir must not cost anybody's files.
func removeFiles(dir string) error {
	if _, err := ReadConfig(dir); err != nil {
		if sprout.KindOf(err) == sprout.NotFound {
			err = os.Remove(lockPath(dir)) // we made it by looking
		}
		return err
	}
	for _, path := range []string{rackPath(dir), AgentDir(dir)} {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("cannot remove the lab: %w", err)
		}
	}
	for _, path := range []string{
		socketPath(dir), LogPath(dir), AgentLogPath(dir), AgentConfigPath(dir), AgentTokenPath(dir), netnsMark(dir), configPath(dir), lockPath(dir),
	} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("cannot remove the lab: %w", err)
		}
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, unix.ENOTEMPTY) {
		return fmt.Errorf("cannot remove the lab: %w", err)
	}
	return nil
}
