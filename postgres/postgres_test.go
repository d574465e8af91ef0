package postgres

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func start(t *testing.T, dir string) *Server {
	t.Helper()
	s, err := Start(t.Context(), Config{Dir: dir, Log: quiet(), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	return s
}

func query(t *testing.T, s *Server, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // the test is over
	var out string
	if err := conn.QueryRow(t.Context(), sql).Scan(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// shortDir is a folder whose path leaves room for a socket's.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg") //nolint:usetesting // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestDataOutlivesTheServer(t *testing.T) {
	dir := shortDir(t)
	s := start(t, dir)
	query(t, s, `WITH made AS (SELECT 1) SELECT 'x'`)
	conn, err := pgx.Connect(t.Context(), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `CREATE TABLE kept AS SELECT 'here' AS word`); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil { // with a connection open
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Errorf("the second Stop: %v", err)
	}
	if got := query(t, start(t, dir), `SELECT word FROM kept`); got != "here" {
		t.Errorf("kept %q", got)
	}
}

func TestListensOnTheSocketOnly(t *testing.T) {
	s := start(t, shortDir(t))
	if got := query(t, s, `SELECT current_setting('listen_addresses')`); got != "" {
		t.Errorf("it listens on %q", got)
	}
	if os.Geteuid() == 0 {
		info, err := os.Stat(filepath.Join("/proc", strconv.Itoa(s.process.Pid)))
		if err != nil {
			t.Fatal(err)
		}
		if info.Sys().(*syscall.Stat_t).Uid == 0 {
			t.Error("it runs as root")
		}
	}
	group, err := syscall.Getpgid(s.process.Pid)
	if err != nil || group == syscall.Getpgrp() {
		t.Errorf("process group %d (%v): Ctrl-C would end it", group, err)
	}
}

func TestSecondStartOnTheSameFolderIsRefused(t *testing.T) {
	dir := shortDir(t)
	start(t, dir)
	_, err := Start(t.Context(), Config{Dir: dir, Log: quiet(), Unsafe: true})
	if sprout.KindOf(err) != sprout.Conflict {
		t.Errorf("want a conflict, got %v", err)
	}
}

// TestRecoversFromKill kills PostgreSQL itself, which leaves its lock file.
func TestRecoversFromKill(t *testing.T) {
	dir := shortDir(t)
	s := start(t, dir)
	if err := s.process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.Exited()
	if _, err := os.Stat(filepath.Join(dir, "data", "postmaster.pid")); err != nil {
		t.Fatalf("the kill left no lock file, so this tests nothing: %v", err)
	}
	if got := query(t, start(t, dir), `SELECT 'up'`); got != "up" {
		t.Errorf("got %q", got)
	}
}

// TestRecoversFromKillOfItsOwner runs a process that starts PostgreSQL, kills
// it with SIGKILL, and starts again on the same folder.
func TestRecoversFromKillOfItsOwner(t *testing.T) {
	if dir := os.Getenv("POSTGRES_TEST_OWNER"); dir != "" {
		if _, err := Start(context.Background(), Config{Dir: dir, Log: quiet(), Unsafe: true}); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("started\n") //nolint:errcheck // the parent notices
		select {}
	}
	dir := shortDir(t)
	owner := exec.Command(os.Args[0], "-test.run=^TestRecoversFromKillOfItsOwner$")
	owner.Env = append(os.Environ(), "POSTGRES_TEST_OWNER="+dir)
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, len("started\n"))
	if _, err := out.Read(line); err != nil || string(line) != "started\n" {
		t.Fatalf("the owner said %q: %v", line, err)
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // killed: it says so
	if got := query(t, start(t, dir), `SELECT 'up'`); got != "up" {
		t.Errorf("got %q", got)
	}
}

func TestMissingBinariesNameThePackage(t *testing.T) {
	_, err := findBinaries(filepath.Join(t.TempDir(), "*", "bin"))
	var e *sprout.Error
	if !errors.As(err, &e) || e.Kind != sprout.Unavailable || !strings.Contains(err.Error(), "postgresql-15") {
		t.Errorf("got %v", err)
	}
}

func TestStartGivesUpWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if s, err := Start(ctx, Config{Dir: shortDir(t), Log: quiet(), Unsafe: true}); err == nil {
		_ = s.Stop()
		t.Error("it started")
	}
}

func TestLongFolderIsRefused(t *testing.T) {
	_, err := Start(t.Context(), Config{Dir: "/tmp/" + strings.Repeat("x", 90), Log: quiet()})
	if sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("want invalid, got %v", err)
	}
}

func TestTheCacheGrowsWithTheHost(t *testing.T) {
	for memory, want := range map[uint64]uint64{0: 32 << 20, 1 << 30: 64 << 20, 4 << 30: 256 << 20, 1 << 40: 1 << 30} {
		if got := buffers(memory); got != want {
			t.Errorf("of %d bytes of memory the cache may have %d, want %d", memory, got, want)
		}
	}
}
