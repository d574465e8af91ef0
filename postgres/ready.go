package postgres

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"
)

// readyWithin is how long a start may take, recovery after a crash included.
const readyWithin = 60 * time.Second

// The cache of a server: what a site of ten thousand machines reads all the time
// fits the most, and a host without memory to spare gives the least.
const (
	leastBuffers = 32 << 20
	mostBuffers  = 1 << 30
	memoryShare  = 16 // of the host's memory, one part
)

// buffers is how large the cache may become on a host with so many bytes of
// memory. It takes what is read into it, not more.
func buffers(memory uint64) uint64 {
	return min(max(memory/memoryShare, leastBuffers), mostBuffers)
}

// settings are the server's arguments: local, and durable unless unsafe, when it
// is small too.
func settings(dir string, unsafe bool) []string {
	cache := uint64(leastBuffers)
	var host unix.Sysinfo_t
	if !unsafe && unix.Sysinfo(&host) == nil { // else the least
		cache = buffers(uint64(host.Totalram) * uint64(host.Unit))
	}
	args := []string{"-D", filepath.Join(dir, "data"), "-k", dir}
	set := []string{
		"listen_addresses=", "unix_socket_permissions=0777",
		fmt.Sprintf("shared_buffers=%dkB", cache>>10), "max_connections=100", "work_mem=4MB", "maintenance_work_mem=32MB",
		"max_wal_size=512MB", "max_worker_processes=2", "max_parallel_workers=0", "autovacuum_max_workers=1",
		"wal_level=minimal", "max_wal_senders=0", "jit=off", "log_timezone=UTC", "timezone=UTC",
		"log_line_prefix=%m [%p] ", "cluster_name=sprout",
	}
	if unsafe {
		set = append(set, "fsync=off", "synchronous_commit=off", "full_page_writes=off")
	}
	for _, s := range set {
		args = append(args, "-c", s)
	}
	return args
}

// awaitReady connects until the server answers, and makes the database "sprout".
func (s *Server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.DatabaseURL("postgres"))
		if err == nil {
			return errors.Join(makeDatabase(ctx, conn), conn.Close(ctx))
		}
		select {
		case <-s.exited:
			return fmt.Errorf("cannot start PostgreSQL: it ended: %v: %s", s.err, s.logTail()) //nolint:errorlint // it is nil where the program ended well
		case <-ctx.Done():
			return fmt.Errorf("cannot start PostgreSQL: %w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

func makeDatabase(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `CREATE DATABASE sprout`)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42P04" { // it exists
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot make the database: %w", err)
	}
	return nil
}
