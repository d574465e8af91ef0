// Package apt gets Debian packages of any architecture, without installing them, and
// runs what is made with them. It needs apt-get, apt-cache and dpkg-deb, and no root. It must not know what the
// packages are for.
package apt

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"sprout"
)

// Lists are the packages that there are for an architecture. This host's own are
// used as they are; those of another are fetched once, into a directory: what this
// host may install stays as it is.
type Lists struct {
	arch    sprout.Architecture
	dir     string
	log     *slog.Logger
	fetched bool
}

// New makes the lists of an architecture, which are kept in dir.
func New(arch sprout.Architecture, dir string, log *slog.Logger) *Lists {
	return &Lists{arch: arch, dir: dir, log: log}
}

// Show returns what is known of the newest version of a package, as apt-cache(8)
// shows it.
func (l *Lists) Show(ctx context.Context, pkg string) (string, error) {
	return l.run(ctx, "", "apt-cache", "show", "--no-all-versions", pkg)
}

// Unpack downloads a package and unpacks its files below root. Errors are
// Unavailable and say what helps.
func (l *Lists) Unpack(ctx context.Context, pkg, root string) error {
	tmp, err := os.MkdirTemp("", "sprout-deb-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // what is left is only room
	if _, err := l.run(ctx, tmp, "apt-get", "download", pkg); err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot download %s: %w", pkg, err).WithRemedy("apt-get update")
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("apt-get left %d packages", len(debs))
	}
	_, err = Run(ctx, tmp, "dpkg-deb", "-x", debs[0], root)
	return err
}

func (l *Lists) run(ctx context.Context, dir, program string, args ...string) (string, error) {
	if string(l.arch) == runtime.GOARCH {
		return Run(ctx, dir, program, args...)
	}
	own := []string{
		"-o", "APT::Architecture=" + string(l.arch), "-o", "APT::Architectures::=" + string(l.arch), "-o", "APT::Sandbox::User=root",
		"-o", "Dir::State::Lists=" + l.dir + "/lists", "-o", "Dir::Cache=" + l.dir, "-o", "Dir::State::status=/dev/null",
	}
	if err := l.fetch(ctx, own); err != nil {
		return "", err
	}
	return Run(ctx, dir, program, append(own, args...)...)
}

// fetch fetches the lists, unless that was done.
func (l *Lists) fetch(ctx context.Context, own []string) error {
	if l.fetched {
		return nil
	}
	for _, name := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(l.dir, name), 0o755); err != nil {
			return err
		}
	}
	l.log.Info("fetching the lists of packages", "architecture", l.arch)
	if _, err := Run(ctx, "", "apt-get", append(own, "update")...); err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot fetch the lists of packages for %s: %w", l.arch, err)
	}
	l.fetched = true
	return nil
}

// Sources returns the source file of this host that has Debian's own packages of a
// release, such as bookworm; nil: there is none, and mmdebstrap has its own.
func Sources(release string) []string {
	for _, name := range []string{"/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"} {
		if raw, err := os.ReadFile(name); err == nil && bytes.Contains(raw, []byte(release)) {
			return []string{name}
		}
	}
	return nil
}

// Run runs a program of this host in dir and returns what it says; an error has what it
// says of that. When the context ends, the program is interrupted.
func Run(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}
