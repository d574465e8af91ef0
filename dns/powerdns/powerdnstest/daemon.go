// Package powerdnstest runs a real PowerDNS authoritative server for tests.
package powerdnstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Key is the key of the API.
const Key = "a-key-that-no-log-shows"

const schema = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql"

// A Daemon is a real pdns_server with SQLite behind it, on the loopback.
type Daemon struct {
	URL     string         // of its API
	KeyFile string         // with Key
	DNS     netip.AddrPort // where it answers
	dir     string
	process *exec.Cmd
	ended   chan error
}

// New makes a PowerDNS that Start starts.
func New(t *testing.T) *Daemon {
	t.Helper()
	for program, pkg := range map[string]string{"pdns_server": "pdns-server", "sqlite3": "sqlite3"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is missing: apt-get install %s pdns-backend-sqlite3", program, pkg)
		}
	}
	d := &Daemon{dir: t.TempDir(), DNS: freePort(t), URL: "http://" + freePort(t).String()}
	d.KeyFile = filepath.Join(d.dir, "key")
	write(t, d.KeyFile, Key+"\n")
	tables, err := os.Open(schema)
	if err != nil {
		t.Skipf("%v: apt-get install pdns-backend-sqlite3", err)
	}
	defer tables.Close() //nolint:errcheck // it is read
	make := exec.Command("sqlite3", filepath.Join(d.dir, "db"))
	make.Stdin = tables
	if out, err := make.CombinedOutput(); err != nil {
		t.Fatalf("sqlite3: %v\n%s", err, out)
	}
	port := d.URL[strings.LastIndexByte(d.URL, ':')+1:]
	write(t, filepath.Join(d.dir, "pdns.conf"), fmt.Sprintf(`launch=gsqlite3
gsqlite3-database=%s
gsqlite3-pragma-synchronous=0
local-address=%s
local-port=%d
socket-dir=%s
webserver=yes
webserver-address=127.0.0.1
webserver-port=%s
webserver-allow-from=127.0.0.0/8
api=yes
api-key=%s
disable-axfr=no
allow-axfr-ips=127.0.0.0/8
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
guardian=no
daemon=no
`, filepath.Join(d.dir, "db"), d.DNS.Addr(), d.DNS.Port(), d.dir, port, Key))
	t.Cleanup(func() {
		if d.process != nil {
			d.Stop(t)
		}
		if raw, err := os.ReadFile(filepath.Join(d.dir, "log")); err == nil && t.Failed() {
			t.Logf("PowerDNS said:\n%s", raw[max(0, len(raw)-8000):])
		}
	})
	return d
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// freePort takes a port that is free in TCP and UDP, until it is used.
func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	for range 16 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at := l.Addr().(*net.TCPAddr).AddrPort()
		u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		_ = l.Close()
		if err == nil {
			_ = u.Close()
			return at
		}
	}
	t.Fatal("no port is free in TCP and UDP")
	return netip.AddrPort{}
}

// Start starts PowerDNS and waits until its API answers.
func (d *Daemon) Start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(d.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() //nolint:errcheck // the process has its own
	c := exec.Command("pdns_server", "--config-dir="+d.dir)
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	d.process, d.ended = c, ended
	for late := time.Now().Add(30 * time.Second); ; {
		if code, _ := d.try(t.Context(), http.MethodGet, "", nil); code == http.StatusOK {
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("pdns_server ended: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(late) {
			t.Fatal("pdns_server has no API after 30 s")
		}
	}
}

// Stop kills PowerDNS, as a crash does.
func (d *Daemon) Stop(t *testing.T) {
	t.Helper()
	if err := d.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	<-d.ended
	d.process = nil
}

// Freeze stops PowerDNS from answering, and Thaw lets it go on.
func (d *Daemon) Freeze(t *testing.T) { d.signal(t, syscall.SIGSTOP) }

// Thaw ends what Freeze began.
func (d *Daemon) Thaw(t *testing.T) { d.signal(t, syscall.SIGCONT) }

func (d *Daemon) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := d.process.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// Ask asks the API past Sprout, and fails where it refuses.
func (d *Daemon) Ask(t *testing.T, method, path string, body any) string {
	t.Helper()
	code, said := d.try(t.Context(), method, path, body)
	if code < 200 || code > 299 {
		t.Fatalf("%s %s: %d %s", method, path, code, said)
	}
	return said
}

func (d *Daemon) try(ctx context.Context, method, path string, body any) (int, string) {
	var in io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return 0, err.Error()
		}
		in = strings.NewReader(string(raw))
	}
	q, err := http.NewRequestWithContext(ctx, method, d.URL+"/api/v1/servers/localhost"+path, in)
	if err != nil {
		return 0, err.Error()
	}
	q.Header.Set("X-API-Key", Key)
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return 0, err.Error()
	}
	defer a.Body.Close() //nolint:errcheck // it is read
	said, err := io.ReadAll(a.Body)
	if err != nil {
		return 0, err.Error()
	}
	return a.StatusCode, string(said)
}
