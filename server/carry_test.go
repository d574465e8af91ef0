package server_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"sprout"
	"sprout/api"
	"sprout/client"
	"sprout/store"
)

func withKey(key string) map[string]string { return map[string]string{"Idempotency-Key": key} }

func (p plane) machineNames(t *testing.T) string {
	t.Helper()
	_, body, _ := p.exchange(t, "GET", "/v1/machines", "", nil) //nolint:bodyclose // exchange closes it
	return body
}

// The same request with the same key is carried out once and answered the same;
// another one is refused; a refusal keeps nothing.
func TestARepeatIsAnsweredNotRepeated(t *testing.T) {
	p, _, db := populated(t)
	ask := func(key, path, body string) (*http.Response, string, api.Fault) {
		return p.exchange(t, "POST", path, body, withKey(key))
	}
	for _, c := range []struct {
		path, body string
		status     int
	}{
		{"/v1/machines", `{"site":"lon1","name":"m3","macs":["52:54:00:00:00:23"]}`, 201},
		{"/v1/machines/import", `{"machines":[{"site":"lon1","name":"m4","macs":["52:54:00:00:00:24"]}]}`, 201},
		{"/v1/machines/m3/commission", `{}`, 0}, // refused: it has no BMC
		{"/v1/machines/m1/commission", `{}`, 202},
		{"/v1/machines/m3/lock", ``, 200},
		{"/v1/machines/bulk", `{"action":"unlock","machines":["m3","nobody"]}`, 200},
		{"/v1/networks", `{"site":"lon1","name":"n2","cidr":"10.1.0.0/24"}`, 201},
		{"/v1/tokens", `{"name":"ci","role":"viewer"}`, 201},
		{"/v1/agents/tokens", `{"site":"lon1"}`, 201},
		{"/v1/sites", `{"name":"par1"}`, 201},
	} {
		key := "key of " + c.path
		if _, _, fault := ask(key, c.path, c.body); fault.Status != 422 || fault.Field != "Idempotency-Key" { //nolint:bodyclose // exchange closes it
			t.Errorf("a key with spaces: %+v", fault)
		}
		key = strings.ReplaceAll(key, " ", "-")
		one, first, _ := ask(key, c.path, c.body)  //nolint:bodyclose // exchange closes it
		two, second, _ := ask(key, c.path, c.body) //nolint:bodyclose // exchange closes it
		if c.status == 0 {
			if one.StatusCode != 409 || two.StatusCode != 409 || two.Header.Get("Idempotent-Replayed") != "" {
				t.Errorf("%s: a refusal is kept: %d %s", c.path, two.StatusCode, second)
			}
			continue
		}
		if one.StatusCode != c.status || one.Header.Get("Idempotent-Replayed") != "" {
			t.Fatalf("%s: %d %s", c.path, one.StatusCode, first)
		}
		if two.StatusCode != c.status || second != first || two.Header.Get("Idempotent-Replayed") != "true" || one.Header.Get("ETag") != two.Header.Get("ETag") {
			t.Errorf("%s: %d %s\nwas first %d %s", c.path, two.StatusCode, second, one.StatusCode, first)
		}
		if three, said, fault := ask(key, "/v1/sites", `{"name":"another"}`); three.StatusCode != 422 || fault.Field != "Idempotency-Key" { //nolint:bodyclose // exchange closes it
			t.Errorf("another request with the key: %d %s", three.StatusCode, said)
		}
	}
	// What is kept holds secrets: nobody who reads the database sees them.
	_, token, _ := ask("key-of-/v1/tokens", "/v1/tokens", `{"name":"ci","role":"viewer"}`) //nolint:bodyclose // exchange closes it
	var kept int
	if err := db.QueryRow(t.Context(), `SELECT count(*) FROM request_key WHERE sealed IS NOT NULL`).Scan(&kept); err != nil || kept < 9 {
		t.Fatal(kept, err)
	}
	secret := strings.Split(strings.Split(token, `"secret":"`)[1], `"`)[0]
	var plain int
	if err := db.QueryRow(t.Context(), `SELECT count(*) FROM request_key k WHERE position($1::bytea in k.sealed) > 0 OR k::text LIKE '%' || $2 || '%'`, []byte(secret), secret).Scan(&plain); err != nil || plain != 0 {
		t.Errorf("%d answers hold the secret in clear, %v", plain, err)
	}
	// Another bearer's key is another key.
	must(client.Call(t.Context(), p.admin, api.MachineShow, api.MachineRef{Machine: "m3"}))(t)
	other := p.bearer(t, sprout.Operator)
	answer, said, _ := p.exchange(t, "POST", "/v1/machines", `{"site":"lon1","name":"m3","macs":["52:54:00:00:00:23"]}`, //nolint:bodyclose // exchange closes it
		map[string]string{"Idempotency-Key": "key-of-/v1/machines", "Authorization": "Bearer " + other})
	if answer.StatusCode != 409 || answer.Header.Get("Idempotent-Replayed") != "" {
		t.Errorf("another bearer was given the answer: %d %s", answer.StatusCode, said)
	}
}

// An image is too long to be in a transaction; its repeat is answered all the same.
func TestARepeatedUploadIsAnswered(t *testing.T) {
	p := run(t)
	send := func(content string) (*http.Response, string, api.Fault) {
		return p.exchange(t, "POST", "/v1/images?name=i9", content, map[string]string{"Idempotency-Key": "k", "Content-Type": "application/octet-stream"})
	}
	one, first, _ := send(strings.Repeat("x", 4096))  //nolint:bodyclose // exchange closes it
	two, second, _ := send(strings.Repeat("x", 4096)) //nolint:bodyclose // exchange closes it
	if one.StatusCode != 201 || two.StatusCode != 201 || first != second || two.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%d %s\nthen %d %s", one.StatusCode, first, two.StatusCode, second)
	}
}

// However many ask at once with one key, one machine is chosen; who is not the
// one that runs is told to ask again, and then gets the answer.
func TestOneOfManyAtOnceIsCarriedOut(t *testing.T) {
	p, _, db := populated(t)
	if _, err := db.Exec(t.Context(), `UPDATE machine SET state = 'ready' WHERE name = 'm1'`); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	var mu sync.Mutex
	bodies, busy := map[string]int{}, 0
	for range 12 {
		wait.Go(func() {
			for {
				answer, body, fault := p.exchange(t, "POST", "/v1/machines/allocate", `{"owner":"ann"}`, withKey("k")) //nolint:bodyclose // exchange closes it
				mu.Lock()
				if answer.StatusCode == 409 && fault.Field == "Idempotency-Key" && answer.Header.Get("Retry-After") == "1" {
					busy++
					mu.Unlock()
					continue
				}
				if answer.StatusCode != 200 {
					t.Errorf("%d %s", answer.StatusCode, body)
				}
				bodies[body]++
				mu.Unlock()
				return
			}
		})
	}
	wait.Wait()
	if len(bodies) != 1 {
		t.Errorf("%d different answers", len(bodies))
	}
	t.Logf("%d times told to ask again", busy)
}

// Answers are kept for a day, and removed in parts after it; one that was lost is
// said to be.
func TestKeysAreKeptForADay(t *testing.T) {
	p, _, db := populated(t)
	lock := func(key string) (*http.Response, api.Fault) {
		answer, _, fault := p.exchange(t, "POST", "/v1/machines/m1/lock", "", withKey(key))
		return answer, fault
	}
	for i := range 5 {
		lock(fmt.Sprint("k", i)) //nolint:bodyclose // exchange closes it
	}
	sql := func(statement string) {
		t.Helper()
		if _, err := db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	sql(`DELETE FROM request_key WHERE id NOT IN (SELECT id FROM request_key ORDER BY created_at DESC LIMIT 5)`)
	sql(`UPDATE request_key SET created_at = now() - interval '24 hours'`)
	if answer, _ := lock("k0"); answer.StatusCode != 200 || answer.Header.Get("Idempotent-Replayed") != "" { //nolint:bodyclose // exchange closes it
		t.Errorf("an answer is kept for longer than a day: %d", answer.StatusCode)
	}
	pool := must(pgxpool.New(t.Context(), db.Config().ConnString()))(t)
	defer pool.Close()
	s := store.New(pool, store.Config{})
	for _, want := range []int64{3, 1, 0} { // k0 is fresh
		if n, err := s.ForgetKeys(t.Context(), 3); err != nil || n != want {
			t.Errorf("%d removed, want %d: %v", n, want, err)
		}
	}
	sql(`UPDATE request_key SET sealed = NULL`)
	if answer, fault := lock("k0"); answer.StatusCode != 409 || !strings.Contains(fault.Detail, "answer was lost") { //nolint:bodyclose // exchange closes it
		t.Errorf("%d %+v", answer.StatusCode, fault)
	}
}

// A client whose connection breaks between the change and its answer asks again
// by itself; the change is made once.
func TestTheClientAsksAgainOnABrokenConnection(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	target, err := url.Parse(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	var breaks, asked atomic.Int64
	forward := httputil.NewSingleHostReverseProxy(target)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if breaks.Add(-1) < 0 {
			forward.ServeHTTP(w, r)
			return
		}
		forward.ServeHTTP(httptest.NewRecorder(), r) // it is carried out, and the answer gets lost
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}))
	defer proxy.Close()
	c, err := client.New(client.Config{URL: proxy.URL, Token: p.token})
	if err != nil {
		t.Fatal(err)
	}
	breaks.Store(2)
	var in api.CreateMachine
	in.Body = api.NewMachine{Site: "lon1", Name: "m1", MACs: []string{"52:54:00:00:00:21"}}
	m := must(client.Call(t.Context(), c, api.MachineCreate, in))(t)
	if m.Name != "m1" || asked.Load() != 3 {
		t.Errorf("%+v after %d", m, asked.Load())
	}
	breaks.Store(1)
	name := "m2"
	change := api.UpdateMachine{MachineRef: api.MachineRef{Machine: "m1"}}
	change.Body.Name = &name
	if _, err := client.Call(t.Context(), c, api.MachineUpdate, change); sprout.KindOf(err) != sprout.Unavailable {
		t.Errorf("a change without a key was sent again: %v", err)
	}
	if n := strings.Count(p.machineNames(t), `"generation"`); n != 1 {
		t.Errorf("%d machines", n)
	}
}

// Two requests that wait for each other are both carried out: PostgreSQL undoes
// one of them, which then is carried out again.
func TestWhatPostgreSQLUndoesIsCarriedOutAgain(t *testing.T) {
	p, _, db := populated(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("par1")))(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("ber1")))(t)
	for _, statement := range []string{
		`CREATE SEQUENCE times`,
		`CREATE FUNCTION deadlock() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval('times') < 3 THEN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END IF;
			RETURN old;
		END $$`,
		`CREATE TRIGGER deadlock BEFORE DELETE ON site FOR EACH ROW EXECUTE FUNCTION deadlock()`,
	} {
		if _, err := db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if answer, said, _ := p.exchange(t, "DELETE", "/v1/sites/par1", "", nil); answer.StatusCode != http.StatusNoContent { //nolint:bodyclose // exchange closes it
		t.Errorf("%d %s", answer.StatusCode, said)
	}
	if _, err := db.Exec(t.Context(), `ALTER SEQUENCE times MINVALUE -1000 RESTART -1000`); err != nil {
		t.Fatal(err)
	}
	if answer, said, _ := p.exchange(t, "DELETE", "/v1/sites/ber1", "", nil); answer.StatusCode != http.StatusServiceUnavailable { //nolint:bodyclose // exchange closes it
		t.Errorf("what never succeeds is answered %d %s", answer.StatusCode, said)
	}
}
