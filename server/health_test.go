package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/client"
	"sprout/server"
	"sprout/store/storetest"
	"sprout/trust"
	"sprout/wan"
)

// What an agent says to be wrong with it is a problem for as long as it says so.
// Codes that are not its own to say are not taken from it.
func TestAnAgentsTroublesAreProblems(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	f := enrol(t, p, "lon1")
	say := func(at time.Time, list ...sprout.Trouble) {
		t.Helper()
		if err := f.bus.PublishBeat(sprout.Heartbeat{Agent: f.enrol.Agent.ID, Version: "test", Address: "10.20.0.1", At: at, Troubles: list}); err != nil {
			t.Fatal(err)
		}
	}
	say(time.Now(),
		sprout.Trouble{Code: sprout.DiskFull, Reason: "the disk is full", Evidence: "under 8 MiB\x00 " + strings.Repeat("é", 5000)},
		sprout.Trouble{Code: sprout.AgentVersion, Reason: "not its to say"})
	problem := p.awaitProblem(t, sprout.DiskFull)
	if problem.Subject != string(f.enrol.Agent.ID) || problem.Name != "lon1" || !strings.HasPrefix(problem.Evidence, "under 8 MiB") || len(problem.Evidence) > 600 {
		t.Errorf("problem: %+v", problem)
	}
	for _, ref := range []string{string(problem.ID), string(problem.ID[:len(problem.ID)-2])} {
		shown := must(client.Call(t.Context(), p.admin, api.ProblemShow, api.ProblemRef{Problem: ref}))(t)
		if shown.Problem != problem || shown.Means != sprout.DiskFull.Means() || shown.Means == "" {
			t.Errorf("%s shows %+v, listed was %+v", ref, shown, problem)
		}
	}
	for ref, want := range map[string]sprout.Kind{"prb_none": sprout.NotFound, "prb": sprout.NotFound, "p": sprout.NotFound} {
		if _, err := client.Call(t.Context(), p.admin, api.ProblemShow, api.ProblemRef{Problem: ref}); sprout.KindOf(err) != want {
			t.Errorf("%s: %v", ref, err)
		}
	}
	p.awaitNoProblem(t, sprout.AgentVersion)
	say(time.Now().Add(time.Hour))
	p.awaitNoProblem(t, sprout.DiskFull)
	if problem := p.awaitProblem(t, sprout.ClockWrong); !strings.Contains(problem.Evidence, "1h0m0s") {
		t.Errorf("an hour off: %+v", problem)
	}
	say(time.Now())
	p.awaitNoProblem(t, sprout.ClockWrong)
	var all []sprout.Trouble
	for _, code := range sprout.OwnCodes {
		all = append(all, sprout.Trouble{Code: code, Reason: "everything is wrong at once"})
	}
	say(time.Now(), all...)
	for _, code := range sprout.OwnCodes {
		p.awaitProblem(t, code)
	}
}

// A database that becomes a standby refuses changes by name, lists go on, the
// problem is listed although it cannot be kept, and all heals by itself.
func TestAReadOnlyDatabaseHeals(t *testing.T) {
	at := storetest.NewURL(t)
	p := run(t, func(c *server.Config) { c.Database.URL = at })
	db := must(pgx.Connect(t.Context(), at))(t)
	defer db.Close(context.Background()) //nolint:errcheck // a test's own
	set := func(value string) {
		t.Helper()
		for _, sql := range []string{
			`SET default_transaction_read_only = off`,
			`ALTER DATABASE ` + pgx.Identifier{db.Config().Database}.Sanitize() + ` SET default_transaction_read_only = ` + value,
			`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
		} {
			must(db.Exec(t.Context(), sql))(t)
		}
	}
	set("on")
	problem := p.awaitProblem(t, sprout.DatabaseReadOnly)
	if problem.Subject != "database" || problem.ID == "" || problem.Remedy == "" {
		t.Errorf("problem: %+v", problem)
	}
	shown := must(client.Call(t.Context(), p.admin, api.ProblemShow, api.ProblemRef{Problem: string(problem.ID)}))(t)
	if shown.Code != sprout.DatabaseReadOnly || shown.Means == "" || shown.Remedy == "" || shown.Type == "" {
		t.Errorf("what the database does not have is shown as %+v", shown)
	}
	_, err := client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1"))
	if sprout.KindOf(err) != sprout.Unavailable || !strings.Contains(err.Error(), "takes no changes") {
		t.Errorf("a change: %v", err)
	}
	ready := must(http.Get(p.URL() + "/readyz"))(t)
	if ready.StatusCode != http.StatusOK {
		t.Errorf("it can be read, and is %s", ready.Status)
	}
	_ = ready.Body.Close()
	set("off")
	p.awaitNoProblem(t, sprout.DatabaseReadOnly)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
}

// crampedDatabase makes a database that lies on a disk of its own, of so many
// bytes. What fills the disk is a file there.
func crampedDatabase(t *testing.T, bytes int) (url, disk string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("a disk that fills up is mounted, which needs root")
	}
	disk = storetest.Dir(t)
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	db := must(pgx.Connect(t.Context(), storetest.NewURL(t)))(t)
	home := filepath.Join(disk, "tables")
	runs := must(os.Stat(db.Config().Host))(t).Sys().(*syscall.Stat_t) // it listens in a folder of its own
	if err := errors.Join(os.Mkdir(home, 0o700), os.Chown(home, int(runs.Uid), int(runs.Gid))); err != nil {
		t.Fatal(err)
	}
	name := pgx.Identifier{"cramped_" + db.Config().Database}.Sanitize()
	must(db.Exec(t.Context(), `CREATE TABLESPACE `+name+` LOCATION '`+home+`'`))(t)
	t.Cleanup(func() {
		_, err := db.Exec(context.Background(), `DROP TABLESPACE `+name)
		if err := errors.Join(err, db.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	url = storetest.NewURL(t)
	moved := must(pgx.ParseConfig(url))(t).Database
	must(db.Exec(t.Context(), `ALTER DATABASE `+pgx.Identifier{moved}.Sanitize()+` SET TABLESPACE `+name))(t)
	return url, disk
}

// A database whose disk is full refuses by name what needs room, lists go on, the
// problem is listed although it may not be kept, and all heals by itself.
func TestAFullDatabaseHeals(t *testing.T) {
	url, disk := crampedDatabase(t, 64<<20)
	p := run(t, func(c *server.Config) { c.Database.URL = url })
	filler := filepath.Join(disk, "filler")
	if err := os.WriteFile(filler, make([]byte, 64<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	var err error
	made := 0
	for ; err == nil && made < 5000; made++ {
		_, err = client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed(fmt.Sprintf("site%d", made)))
	}
	if sprout.KindOf(err) != sprout.Unavailable || !strings.Contains(err.Error(), "disk is full") {
		t.Fatalf("change %d: %v", made, err)
	}
	problem := p.awaitProblem(t, sprout.DatabaseFull)
	if !strings.HasPrefix(problem.Subject, "server:") || problem.ID == "" || !strings.Contains(problem.Remedy, "free room") {
		t.Errorf("problem: %+v", problem)
	}
	ready := must(http.Get(p.URL() + "/readyz"))(t)
	said := must(io.ReadAll(ready.Body))(t)
	_ = ready.Body.Close()
	if ready.StatusCode != http.StatusOK || !strings.Contains(string(said), string(sprout.DatabaseFull)) {
		t.Errorf("it can be read, and says %s %s", ready.Status, said)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	p.awaitNoProblem(t, sprout.DatabaseFull)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("after")))(t)
}

// What a replica said to be wrong ends when it has said nothing for long: it may
// never come back. What another says goes on.
func TestProblemsOfASilentReplicaEnd(t *testing.T) {
	at := storetest.NewURL(t)
	db := must(pgx.Connect(t.Context(), at))(t)
	defer db.Close(context.Background()) //nolint:errcheck // a test's own
	for id, said := range map[string]string{"gone": "11 minutes", "here": "1 minute", "old": ""} {
		must(db.Exec(t.Context(), `
			INSERT INTO problem (id, subject, name, code, severity, reason, since, said_at)
			VALUES ('prb_' || $1, 'server:' || $1, $1, 'clock-wrong', 'critical', 'of ' || $1, now() - interval '1 day', now() - nullif($2, '')::interval)`, id, said))(t)
	}
	p := run(t, func(c *server.Config) { c.Database.URL = at })
	eventually(t, p.problems(t), func(list []sprout.Problem) bool {
		return len(list) == 1 && list[0].Name == "here"
	})
}

// A database whose commits take long is a problem until they no longer do. One that
// is cut off is told so to whoever asks, as something that passes.
func TestASlowDatabaseHeals(t *testing.T) {
	at := must(pgx.ParseConfig(storetest.NewURL(t)))(t)
	dial := func(ctx context.Context, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", fmt.Sprintf("%s/.s.PGSQL.%d", at.Host, at.Port))
	}
	relay := must(wan.Listen("127.0.0.1:0", wan.Weather{}, 1, dial))(t)
	t.Cleanup(relay.Close)
	p := run(t, func(c *server.Config) {
		c.Database.URL = fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", at.User, relay.Address(), at.Database)
	})
	relay.Turn(wan.Weather{Delay: 150 * time.Millisecond})
	p.awaitProblem(t, sprout.DatabaseSlow)
	relay.Turn(wan.Weather{})
	p.awaitNoProblem(t, sprout.DatabaseSlow)
	relay.Cut()
	for range 20 { // connections that stood, and such as cannot be made
		_, err := client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1"))
		if sprout.KindOf(err) != sprout.Unavailable || !strings.Contains(err.Error(), "the database") {
			t.Fatalf("without a database: %v", err)
		}
	}
	relay.Heal()
	made := func() (sprout.Site, error) {
		return client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1"))
	}
	eventually(t, made, func(sprout.Site) bool { return true })
}

// A certificate of somebody else's that runs out is a problem, until its files are
// renewed: the server reads them again by itself.
func TestACertificateThatRunsOutHeals(t *testing.T) {
	dir := t.TempDir()
	authority := must(trust.NewAuthority(time.Now().Add(-48 * time.Hour)))(t)
	renew := func(from time.Time, life time.Duration) {
		t.Helper()
		pair := must(authority.Issue([]string{"127.0.0.1"}, from, life))(t)
		key := must(x509.MarshalPKCS8PrivateKey(pair.PrivateKey))(t)
		for name, raw := range map[string][]byte{
			"tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), "tls.crt": trust.PEM(pair.Leaf),
		} {
			if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	renew(time.Now().Add(-47*time.Hour), 24*time.Hour)
	p := run(t, func(c *server.Config) {
		c.TLS.Disable, c.TLS.Certificate, c.TLS.Key = false, filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	})
	admin := must(client.New(client.Config{URL: p.URL(), Token: p.token, CA: authority.PEM()}))(t)
	if _, err := client.Call(t.Context(), admin, api.TokenWhoami, struct{}{}); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("a client of a server whose certificate has expired: %v", err)
	}
	// Somebody who does not check it, as in a browser that is told to go on.
	p.admin = must(client.New(client.Config{URL: p.URL(), Token: p.token, HTTP: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}}))(t)
	if problem := p.awaitProblem(t, sprout.CertificateExpired); !strings.Contains(problem.Reason, "has run out") || !strings.Contains(problem.Evidence, dir) {
		t.Errorf("problem: %+v", problem)
	}
	renew(time.Now().Add(-time.Hour), 90*24*time.Hour)
	p.admin = admin
	p.awaitNoProblem(t, sprout.CertificateExpired)
}
