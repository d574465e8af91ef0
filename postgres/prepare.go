package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sprout"
)

// superuser is the role of the database that owns everything.
const superuser = "sprout"

// debianBinaries is where Debian installs each major version.
const debianBinaries = "/usr/lib/postgresql/*/bin"

// findBinaries returns the folder with the newest initdb and postgres.
func findBinaries(pattern string) (string, error) {
	folders, err := filepath.Glob(pattern)
	if err != nil {
		return "", fmt.Errorf("cannot look for PostgreSQL: %w", err)
	}
	slices.SortFunc(folders, func(a, b string) int { return majorVersion(b) - majorVersion(a) })
	for _, f := range folders {
		if isExecutable(filepath.Join(f, "initdb")) && isExecutable(filepath.Join(f, "postgres")) {
			return f, nil
		}
	}
	return "", sprout.Errorf(sprout.Unavailable, "cannot find PostgreSQL in %s: the Debian package postgresql-15 is not installed", pattern).
		WithRemedy("apt-get install --no-install-recommends postgresql-15")
}

func majorVersion(folder string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(folder))) // not a number: 0, the last choice
	return n
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0
}

// account returns who shall run PostgreSQL, which refuses to run as root: the
// user postgres, else nobody. Nil where we are not root: it runs as us.
func account() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("cannot run as user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, sprout.Errorf(sprout.Unavailable, "cannot run PostgreSQL as root, and there is no user postgres or nobody")
}

// prepare makes the folder and gives it to who runs PostgreSQL. Folders above
// it must let that user through: those that do not get the search bit.
func prepare(dir string, as *syscall.Credential) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("cannot use the folder of PostgreSQL: %w", err)
	}
	// sun_path of a unix socket has 108 bytes (unix(7)).
	if socket := filepath.Join(dir, ".s.PGSQL.5432.lock"); len(socket) > 107 {
		return "", sprout.InvalidField("dir", "%s is too long for a unix socket: at most 87 characters", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cannot make the folder of PostgreSQL: %w", err)
	}
	if as == nil {
		return dir, nil
	}
	if err := os.Chown(dir, int(as.Uid), int(as.Gid)); err != nil {
		return "", fmt.Errorf("cannot give PostgreSQL its folder: %w", err)
	}
	for up := filepath.Dir(dir); up != "/"; up = filepath.Dir(up) {
		info, err := os.Stat(up)
		if err != nil {
			return "", fmt.Errorf("cannot reach the folder of PostgreSQL: %w", err)
		}
		if info.Mode().Perm()&0o001 != 0 {
			continue
		}
		if err := os.Chmod(up, info.Mode().Perm()|0o001); err != nil {
			return "", fmt.Errorf("cannot let PostgreSQL through %s: %w", up, err)
		}
	}
	return dir, nil
}

func dataDir(dir string) string { return filepath.Join(dir, "data") }

// initialise runs initdb where there is no data yet. It works beside the data
// and renames at the end, so that a death in its middle leaves nothing half done.
func initialise(ctx context.Context, bin, dir string, as *syscall.Credential, config Config) error {
	version := filepath.Join(dataDir(dir), "PG_VERSION")
	if raw, err := os.ReadFile(version); err == nil {
		return sameMajor(strings.TrimSpace(string(raw)), bin, dir)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot read %s: %w", version, err)
	}
	fresh := filepath.Join(dir, "data.new")
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("cannot clear what an earlier start left: %w", err)
	}
	args := []string{"-D", fresh, "-U", superuser, "--auth-local=trust", "--auth-host=reject", "--encoding=UTF8", "--locale=C.UTF-8"}
	if config.Unsafe {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as, Setpgid: true}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot make the database in %s: %w: %s", fresh, err, strings.TrimSpace(string(out)))
	}
	if err := os.Rename(fresh, dataDir(dir)); err != nil {
		return fmt.Errorf("cannot put the new database in place: %w", err)
	}
	config.Log.Info("made a new PostgreSQL database", "dir", dir)
	return nil
}

func sameMajor(data, bin, dir string) error {
	if have := strconv.Itoa(majorVersion(bin)); have != data {
		return sprout.Errorf(sprout.Unavailable, "cannot start PostgreSQL %s on the data of version %s in %s", have, data, dir).
			WithRemedy("apt-get install --no-install-recommends postgresql-%s, or upgrade the data with pg_upgradecluster", data)
	}
	return nil
}

// lock takes the folder for this process. Conflict if another has it.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the folder of PostgreSQL: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, sprout.Errorf(sprout.Conflict, "cannot start PostgreSQL in %s: another process runs it already", dir)
	}
	return f, nil
}

// clearStale ends a PostgreSQL that a process which was killed left on this
// data; we hold the lock, so nobody else owns it. A lock file whose process is
// gone is PostgreSQL's own to replace.
func clearStale(ctx context.Context, dir string, log *slog.Logger) error {
	raw, err := os.ReadFile(filepath.Join(dataDir(dir), "postmaster.pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read the lock file of PostgreSQL: %w", err)
	}
	first, _, _ := strings.Cut(string(raw), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || !serves(pid, dataDir(dir)) { // an empty, torn or stale file
		return awaitGone(ctx, dataDir(dir)) // what a killed server began ends by itself, soon
	}
	log.Warn("ending a PostgreSQL that was left behind", "dir", dir, "pid", pid)
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("cannot end the PostgreSQL that was left behind (pid %d): %w", pid, err)
	}
	return awaitGone(ctx, dataDir(dir))
}

// serves tells whether the process is alive and works in the data directory,
// as every process of PostgreSQL does: a number alone may be reused.
func serves(pid int, data string) bool {
	cwd, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
	return err == nil && cwd == data
}

// awaitGone waits until no process works in the data directory: as long as one
// does, its shared memory keeps a new server from starting.
func awaitGone(ctx context.Context, data string) error {
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		pid, err := anyServing(data)
		if pid == 0 || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot end the PostgreSQL that was left behind (pid %d): %w", pid, ctx.Err())
		case <-tick.C:
		}
	}
}

// anyServing returns a process that works in the data directory, 0 if none does.
func anyServing(data string) (int, error) {
	all, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("cannot look for a PostgreSQL that was left behind: %w", err)
	}
	for _, p := range all {
		if pid, err := strconv.Atoi(p.Name()); err == nil && serves(pid, data) {
			return pid, nil
		}
	}
	return 0, nil
}
