// Package postgres runs a private PostgreSQL from Debian's binaries: for
// `sprout dev`, CI and small sites. It listens on a unix socket beside its data
// and on nothing else, and never runs as root. It must not know what is stored
// in it.
package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// A Config says where the data is. Its zero value is not usable: Dir is needed.
type Config struct {
	Dir string       // holds data/ and the socket; made if missing; an existing one is used again
	Log *slog.Logger // nil: slog.Default
	// Unsafe turns off everything that makes commits durable: for tests.
	Unsafe bool
}

// stopWithin is how long a shutdown may take before the server is killed.
const stopWithin = 20 * time.Second

// A Server is a running PostgreSQL that this process owns.
type Server struct {
	dir     string
	log     *slog.Logger
	process *os.Process
	held    *os.File      // the lock of dir, until the process has ended
	exited  chan struct{} // closed when the process has been waited for
	err     error         // how it exited; read after exited
}

// Start makes the data directory where there is none, starts PostgreSQL and
// returns once it answers. The server ends with Stop, and with the death of
// this process.
func Start(ctx context.Context, config Config) (*Server, error) {
	if config.Log == nil {
		config.Log = slog.Default()
	}
	bin, err := findBinaries(debianBinaries)
	if err != nil {
		return nil, err
	}
	as, err := account()
	if err != nil {
		return nil, err
	}
	dir, err := prepare(config.Dir, as)
	if err != nil {
		return nil, err
	}
	held, err := lock(dir)
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, log: config.Log, held: held, exited: make(chan struct{})}
	if err := s.begin(ctx, bin, as, config); err != nil {
		return nil, errors.Join(err, held.Close())
	}
	if err := s.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	s.log.Info("PostgreSQL runs", "dir", dir, "pid", s.process.Pid)
	return s, nil
}

// begin brings the data into a state to start from, and starts.
func (s *Server) begin(ctx context.Context, bin string, as *syscall.Credential, config Config) error {
	if err := initialise(ctx, bin, s.dir, as, config); err != nil {
		return err
	}
	if err := clearStale(ctx, s.dir, s.log); err != nil {
		return err
	}
	return s.launch(bin, as, config)
}

// URL returns the address of the database "sprout" on the unix socket.
func (s *Server) URL() string { return s.DatabaseURL("sprout") }

// DatabaseURL returns the address of a database on the unix socket.
func (s *Server) DatabaseURL(name string) string {
	q := url.Values{"host": {s.dir}, "user": {superuser}, "sslmode": {"disable"}}
	return "postgres:///" + url.PathEscape(name) + "?" + q.Encode()
}

// Exited is closed when the server has ended, whether asked to or not.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// Stop ends the server: open transactions are rolled back, the data is written
// out. It may be called again.
func (s *Server) Stop() error {
	select {
	case <-s.exited:
		return nil
	default:
	}
	if err := s.process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("cannot stop PostgreSQL: %w", err)
	}
	select {
	case <-s.exited:
	case <-time.After(stopWithin):
		_ = s.process.Signal(syscall.SIGQUIT) // gives up at once; the next start recovers
		<-s.exited
		return fmt.Errorf("cannot stop PostgreSQL within %s: it was ended and will recover when it starts", stopWithin)
	}
	if s.err != nil {
		return fmt.Errorf("cannot stop PostgreSQL cleanly: %w (see %s)", s.err, s.logPath())
	}
	s.log.Info("PostgreSQL has stopped", "dir", s.dir)
	return nil
}

func (s *Server) logPath() string { return filepath.Join(s.dir, "postgres.log") }

// launch starts the process from a thread that stays: Pdeathsig follows the
// thread, not the process, that started it.
func (s *Server) launch(bin string, as *syscall.Credential, config Config) error {
	logFile, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("cannot open the log of PostgreSQL: %w", err)
	}
	cmd := exec.Command(filepath.Join(bin, "postgres"), settings(s.dir, config.Unsafe)...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.Env = []string{"LC_ALL=C.UTF-8", "PATH=" + os.Getenv("PATH")}
	// A group of its own: Ctrl-C in the terminal must not end it before us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as, Setpgid: true, Pdeathsig: syscall.SIGINT}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer logFile.Close() //nolint:errcheck // it is the child that writes
		err := cmd.Start()
		s.process = cmd.Process
		started <- err
		if err == nil {
			s.err = cmd.Wait()
			_ = s.held.Close()
			close(s.exited)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("cannot start PostgreSQL: %w", err)
	}
	return nil
}

// logTail returns the last lines that the server wrote.
func (s *Server) logTail() string {
	raw, err := os.ReadFile(s.logPath())
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(raw), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-5):], []byte("\n")))
}
