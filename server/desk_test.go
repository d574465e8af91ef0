package server_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/client"
	"sprout/server"
	"sprout/store/storetest"
)

// fleet makes so many ready machines at lon1, in zones z0, z1 and z2 by turns, and
// returns a way to the database.
func fleet(t *testing.T, n int) (plane, *pgx.Conn) {
	t.Helper()
	url := storetest.NewURL(t)
	p := run(t, func(c *server.Config) { c.Database.URL, c.Limits.TokenRate = url, -1 })
	site := must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	db := must(pgx.Connect(t.Context(), url))(t)
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	must(db.Exec(t.Context(), `
		INSERT INTO machine (site, id, name, state, zone, inventory)
		SELECT $1, 'mch_' || lpad(n::text, 26, '0'), 'm' || n, 'ready', 'z' || n % 3, '{"cpu":{"cores":8},"memoryBytes":68719476736,"disks":[]}'
		FROM generate_series(1, $2::int) n`, site.ID, n))(t)
	return p, db
}

// Whoever asks at once, no machine is given twice, each gift has its history and
// its audit record, and the one too many is told why there is none. SPROUT_MACHINES=n:
// of so many; 5,000 take a minute with the race detector.
func TestNoMachineIsGivenTwice(t *testing.T) {
	const clients = 64
	machines := 1500
	if n := os.Getenv("SPROUT_MACHINES"); n != "" {
		machines = must(strconv.Atoi(n))(t)
	}
	p, db := fleet(t, machines)
	var mu sync.Mutex
	given := map[sprout.MachineID]string{}
	var refused []error
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			owner := fmt.Sprint("team-", c)
			for range (machines + clients) / clients {
				var in api.AllocateMachine
				in.Body.Owner, in.Body.MinCores = owner, 1+c%8
				m, err := client.Call(t.Context(), p.admin, api.MachineAllocate, in)
				mu.Lock()
				if err != nil {
					refused = append(refused, err)
				} else if before, twice := given[m.ID]; twice || m.Owner != owner || m.State != sprout.Allocated {
					t.Errorf("%s for %s is %s of %s, given to %q before", m.Name, owner, m.State, m.Owner, before)
				}
				given[m.ID] = owner
				mu.Unlock()
			}
		})
	}
	all.Wait()
	delete(given, "")
	asked := clients * ((machines + clients) / clients)
	if len(given) != machines || len(refused) != asked-machines {
		t.Errorf("%d of %d machines are given, and %d of %d asks refused", len(given), machines, len(refused), asked)
	}
	for _, err := range refused {
		if sprout.KindOf(err) != sprout.Conflict || !strings.Contains(err.Error(), fmt.Sprintf(`"state is ready" removed %d`, machines)) {
			t.Fatalf("refused without the reason: %v", err)
		}
	}
	for what, sql := range map[string]string{
		"moves":   `SELECT count(*) FROM machine_history WHERE event = 'allocate' AND to_state = 'allocated' AND actor = 'admin'`,
		"records": `SELECT count(DISTINCT subject) FROM (SELECT subject, action, outcome FROM audit UNION ALL SELECT subject, action, outcome FROM audit_unsealed) a WHERE action = 'machine allocate' AND outcome = 'done'`,
		"events":  `SELECT count(DISTINCT subject) FROM event WHERE state = 'allocated'`,
		"answers": `SELECT count(*) - 1 FROM request_key WHERE sealed IS NOT NULL`, // one is of the site
	} {
		var n int
		if err := db.QueryRow(t.Context(), sql).Scan(&n); err != nil || n != machines {
			t.Errorf("%d %s of %d machines: %v", n, what, machines, err)
		}
	}
}

// A request that is sent again is given the machine it got, however many came at
// once.
func TestARepeatedAskGetsTheSameMachine(t *testing.T) {
	p, _ := fleet(t, 40)
	first := map[string]string{}
	for round := range 2 {
		var mu sync.Mutex
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				key := fmt.Sprint("key-", i)
				answer, said, fault := p.exchange(t, "POST", "/v1/machines/allocate", `{"owner":"shop"}`, map[string]string{"Idempotency-Key": key})
				mu.Lock()
				defer mu.Unlock()
				if answer.StatusCode != 200 || round > 0 && said != first[key] {
					t.Errorf("round %d: %d %s %+v", round, answer.StatusCode, said, fault)
				}
				first[key] = said
			})
		}
		all.Wait()
	}
	left := 0
	for _, m := range must(client.List(t.Context(), p.admin, api.MachineList, api.ListMachines{MachineMatch: api.MachineMatch{State: []sprout.State{sprout.Ready}}}, 0))(t) {
		if m.Owner == "" {
			left++
		}
	}
	if left != 24 {
		t.Errorf("%d machines are left of 40 when 16 were asked for", left)
	}
	// The same key at the same moment: one is done, others are given its answer or told to wait.
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			answer, said, _ := p.exchange(t, "POST", "/v1/machines/allocate", `{"owner":"shop"}`, map[string]string{"Idempotency-Key": "one"})
			if answer.StatusCode != 200 && answer.StatusCode != 409 {
				t.Errorf("%d %s", answer.StatusCode, said)
			}
		})
	}
	all.Wait()
	if n := len(must(client.List(t.Context(), p.admin, api.MachineList, api.ListMachines{MachineMatch: api.MachineMatch{Owner: "shop"}}, 0))(t)); n != 17 {
		t.Errorf("one key took %d machines", n-16)
	}
}

// What was decided about a machine a moment ago counts, whatever the server has
// read of it before.
func TestWhatIsKnownOfMachinesMayBeOld(t *testing.T) {
	p, db := fleet(t, 3)
	take := func(change func(*api.AllocateMachine)) (sprout.Machine, error) {
		var in api.AllocateMachine
		in.Body.Owner = "shop"
		change(&in)
		return client.Call(t.Context(), p.admin, api.MachineAllocate, in)
	}
	if m := must(take(func(*api.AllocateMachine) {}))(t); m.Name != "m1" { // now all are known
		t.Fatalf("took %s", m.Name)
	}
	must(db.Exec(t.Context(), `UPDATE machine SET tags = '{reserved}' WHERE name = 'm2'`))(t)
	if m := must(take(func(in *api.AllocateMachine) { in.Body.NotTags = []string{"reserved"} }))(t); m.Name != "m3" {
		t.Errorf("took %s, which must not be had", m.Name)
	}
	must(db.Exec(t.Context(), `INSERT INTO problem (id, site, subject, name, code, severity, reason) SELECT 'prb_1', site, id, name, 'disk-failed', 'critical', 'x' FROM machine WHERE name = 'm2'`))(t)
	if _, err := take(func(*api.AllocateMachine) {}); err == nil || !strings.Contains(err.Error(), "m2 (disk-failed)") {
		t.Errorf("an ill machine is not named: %v", err)
	}
	must(db.Exec(t.Context(), `UPDATE problem SET cleared_at = now()`))(t)
	must(client.Call(t.Context(), p.admin, api.MachineLock, api.MachineRef{Machine: "m2"}))(t)
	if _, err := take(func(*api.AllocateMachine) {}); err == nil || !strings.Contains(err.Error(), "m2 (locked)") {
		t.Errorf("a locked machine is not named: %v", err)
	}
	must(client.Call(t.Context(), p.admin, api.MachineUnlock, api.MachineRef{Machine: "m2"}))(t)
	if m := must(take(func(in *api.AllocateMachine) { in.Body.Tags = []string{"reserved"} }))(t); m.Name != "m2" {
		t.Errorf("took %s", m.Name)
	}
}

// A machine that somebody's transaction holds is no machine that is gone: whoever asks
// for it, alone or for several, has it once that lets go.
func TestAHeldMachineIsWaitedFor(t *testing.T) {
	p, db := fleet(t, 2)
	look := must(pgx.Connect(t.Context(), db.Config().ConnString()))(t)
	defer look.Close(context.Background()) //nolint:errcheck // only read
	for what, ask := range map[string]func() error{
		"one": func() error {
			_, err := client.Call(t.Context(), p.admin, api.MachineAllocate, api.AllocateMachine{})
			return err
		},
		"several": func() error {
			var in api.CreateAllocation
			_, err := client.Call(t.Context(), p.admin, api.AllocationCreate, in)
			return err
		},
	} {
		tx := must(db.Begin(t.Context()))(t)
		must(tx.Exec(t.Context(), `SELECT FROM machine FOR UPDATE`))(t)
		answer := make(chan error, 1)
		go func() { answer <- ask() }()
		eventually(t, func() (n int, err error) {
			err = look.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%WITH held%'`).Scan(&n)
			return n, err
		}, func(n int) bool { return n > 0 })
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-answer; err != nil {
			t.Errorf("asked for %s: %v", what, err)
		}
	}
}

// There is no lock that all share: while one owner's transactions last, 64 clients of
// other owners are given machines. Those of the owner wait, and have theirs after.
func TestAnOwnersTransactionDelaysNoOther(t *testing.T) {
	const others, held = 64, 4
	p, db := fleet(t, others+held)
	look := must(pgx.Connect(t.Context(), db.Config().ConnString()))(t)
	defer look.Close(context.Background()) //nolint:errcheck // only read
	var set api.SetQuota
	set.Owner, set.Body.Machines = "shop", held
	must(client.Call(t.Context(), p.admin, api.QuotaSet, set))(t)
	take := func(owner string) error {
		var in api.AllocateMachine
		in.Body.Owner = owner
		_, err := client.Call(t.Context(), p.admin, api.MachineAllocate, in)
		return err
	}
	tx := must(db.Begin(t.Context()))(t)
	must(tx.Exec(t.Context(), `SELECT FROM quota WHERE owner = 'shop' FOR UPDATE`))(t)
	shop := make(chan error, held)
	for range held {
		go func() { shop <- take("shop") }()
	}
	eventually(t, func() (n int, err error) {
		err = look.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FROM quota%FOR UPDATE%'`).Scan(&n)
		return n, err
	}, func(n int) bool { return n == held })
	answers := make(chan error, others)
	for i := range others {
		go func() { answers <- take(fmt.Sprint("team-", i%8)) }()
	}
	for range others {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if len(shop) != 0 {
		t.Errorf("an owner whose quota is held was answered: %v", <-shop)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range held {
		if err := <-shop; err != nil {
			t.Error(err)
		}
	}
	if n := scan[int](t, db, `SELECT count(*) FROM machine WHERE owner = 'shop'`); n != held {
		t.Errorf("it has %d machines", n)
	}
}
