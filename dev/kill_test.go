package dev_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
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
	"sprout/api"
	"sprout/api/apitest"
	"sprout/client"
)

// kills is how often the control plane is killed, each at a moment of chance.
const kills = 5

// The real program is killed with -9 while workflows are begun and its site
// works. What it had answered 202 for is there and ends, each piece of work was
// given out once and ended once, the audit and the numbers of the outbox have no
// gap, and the PostgreSQL that outlived its parent does not keep it from starting.
func TestKilledAtAnyMomentItLosesNothing(t *testing.T) {
	p := startProgram(t)
	f := enrolSite(t, p)
	machines := make([]string, 4)
	for i := range machines {
		machines[i] = fmt.Sprintf("m%d", i+1)
		var in api.CreateMachine
		in.Body = api.NewMachine{Site: "lon1", Name: machines[i], MACs: []string{fmt.Sprintf("52:54:00:00:01:%02d", i)}, BMC: &sprout.BMC{Driver: "redfish", URL: "http://127.0.0.1:1"}}
		call(t, p, api.MachineCreate, in)
	}
	asked := map[sprout.WorkflowID]bool{}
	for round := range kills {
		moment := time.Duration(200+rand.IntN(1300)) * time.Millisecond
		dead := time.AfterFunc(moment, func() { _ = p.cmd.Process.Kill() })
		for began := time.Now(); time.Since(began) < moment; {
			for _, name := range machines {
				in := api.CommissionMachine{MachineRef: api.MachineRef{Machine: name}}
				if w, err := client.Call(t.Context(), p.admin, api.MachineCommission, in); err == nil {
					asked[w.ID] = true
				}
			}
		}
		dead.Stop()
		p.kill()
		t.Logf("kill %d after %s: %d workflows were begun so far", round+1, moment, len(asked))
		p.start(t)
	}
	if len(asked) < kills {
		t.Fatalf("only %d workflows were begun: nothing was tried", len(asked))
	}
	for id := range asked {
		w, err := p.admin.Follow(t.Context(), id, func(sprout.Workflow) {})
		if err != nil || w.State != sprout.Succeeded {
			t.Errorf("workflow %s is %s: %v; %+v", id, w.State, err, w.Error)
		}
	}
	p.checkBooks(t, f, asked)
}

// checkBooks looks into what is kept of all that happened.
func (p *program) checkBooks(t *testing.T, f *fake, asked map[sprout.WorkflowID]bool) {
	t.Helper()
	if check := call(t, p, api.AuditVerify, api.VerifyAudit{}); !check.Intact {
		t.Errorf("audit: %+v", check)
	}
	db, err := pgx.Connect(t.Context(), p.database())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.Background()) //nolint:errcheck // only read
	count := func(sql string) (n int64) {
		t.Helper()
		if err := db.QueryRow(t.Context(), sql).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	// One that was begun as the server died is nobody's answer, and goes on too.
	rows, err := db.Query(t.Context(), `SELECT id FROM workflow`)
	if err != nil {
		t.Fatal(err)
	}
	begun, err := pgx.CollectRows(rows, pgx.RowTo[sprout.WorkflowID])
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	for _, id := range begun {
		if _, err := p.admin.Follow(ctx, id, func(sprout.Workflow) {}); err != nil {
			t.Errorf("workflow %s: %v", id, err)
		}
	}
	for what, sql := range map[string]string{
		"numbers missing in the audit":            `SELECT max(seq) - count(*) FROM audit`,
		"workflows that do not end":               `SELECT count(*) FROM workflow WHERE state <> 'succeeded'`,
		"workflows that did not end once":         `SELECT count(*) FROM workflow w WHERE 1 <> (SELECT count(*) FROM audit a WHERE a.subject = w.id AND a.action = 'workflow commission')`,
		"workflows that were not asked for once":  `SELECT count(*) FROM workflow w WHERE 1 <> (SELECT count(*) FROM audit a WHERE a.action = 'machine commission' AND a.detail = 'as ' || w.id)`,
		"pieces of work given out more than once": `SELECT count(*) FROM (SELECT key FROM outbox WHERE kind = 'work' GROUP BY key HAVING count(*) > 1) twice`,
	} {
		if n := count(sql); n != 0 {
			t.Errorf("%d %s", n, what)
		}
	}
	// What it applied and a later change made void is pruned: the site, which takes
	// no change but the next, has seen every number.
	if last, applied := count(`SELECT outbox_seq FROM site`), f.applied(t, count(`SELECT outbox_seq FROM site`)); applied != last {
		t.Errorf("the site's changes end at %d, the outbox at %d", applied, last)
	}
	// An answer may be lost with the server, so there may be more than were seen.
	all := count(`SELECT count(*) FROM workflow`)
	if all < int64(len(asked)) || count(`SELECT count(*) FROM outbox WHERE kind = 'work'`) != all || int64(f.worked()) != all {
		t.Errorf("%d workflows were begun, %d are kept, the site worked on %d", len(asked), all, f.worked())
	}
}

// A program is the real binary, run as `sprout dev`.
type program struct {
	binary, dir, url, bus string
	admin                 *client.Client
	cmd                   *exec.Cmd
}

func startProgram(t *testing.T) *program {
	t.Helper()
	dir, err := os.MkdirTemp("", "sprout-kill-") //nolint:usetesting // PostgreSQL's user must reach it, and t.TempDir is ours alone
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p := &program{binary: filepath.Join(dir, "sprout"), dir: dir, url: freePort(t), bus: freePort(t)}
	t.Cleanup(func() { p.stop(t) })
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", p.binary, "sprout/cmd/sprout").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p.start(t)
	return p
}

// start returns once the API answers.
func (p *program) start(t *testing.T) {
	t.Helper()
	p.cmd = exec.Command(p.binary, "dev", "--dir", filepath.Join(p.dir, "plane"), "--listen", p.url, "--bus-listen", p.bus, "--context-file", filepath.Join(p.dir, "context.yaml"))
	p.cmd.Stderr = t.Output()
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		_ = p.cmd.Wait()
		t.Fatalf("it did not start: %q %v", line, err)
	}
	t.Logf("started within %s", time.Since(began).Round(time.Millisecond))
	secret, err := os.ReadFile(filepath.Join(p.dir, "plane", "server", "admin-token"))
	if err != nil {
		t.Fatal(err)
	}
	if p.admin, err = client.New(client.Config{URL: "http://" + p.url, Token: strings.TrimSpace(string(secret)), HTTP: &http.Client{Transport: apitest.Transport(t, nil)}}); err != nil {
		t.Fatal(err)
	}
}

// kill ends the program, and nothing else, at once.
func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// stop asks the program to end, and sees to it that its PostgreSQL has.
func (p *program) stop(t *testing.T) {
	if p.cmd != nil && p.cmd.Process != nil {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		_ = p.cmd.Wait()
	}
	if raw, err := os.ReadFile(filepath.Join(p.dir, "plane", "postgres", "data", "postmaster.pid")); err == nil {
		first, _, _ := strings.Cut(string(raw), "\n")
		if pid, err := strconv.Atoi(first); err == nil {
			t.Errorf("PostgreSQL %d outlived the program", pid)
			_ = syscall.Kill(pid, syscall.SIGQUIT)
		}
	}
	if err := os.RemoveAll(p.dir); err != nil {
		t.Error(err)
	}
}

func (p *program) database() string {
	return fmt.Sprintf("host=%s dbname=sprout user=sprout sslmode=disable", filepath.Join(p.dir, "plane", "postgres"))
}

func call[In, Out any](t *testing.T, p *program, op api.Op[In, Out], in In) Out {
	t.Helper()
	out, err := client.Call(t.Context(), p.admin, op, in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // only its number was wanted
	return l.Addr().String()
}

var quiet = slog.New(slog.DiscardHandler)
