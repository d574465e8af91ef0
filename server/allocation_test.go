package server_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/client"
	"sprout/server"
	"sprout/store"
	"sprout/store/storetest"
)

// together asks for machines of an owner.
func together(t *testing.T, c *client.Client, owner string, count int, change ...func(*api.CreateAllocation)) (api.AllocationReport, error) {
	t.Helper()
	var in api.CreateAllocation
	in.Body.Owner, in.Body.Count = owner, count
	for _, f := range change {
		f(&in)
	}
	return client.Call(t.Context(), c, api.AllocationCreate, in)
}

func queued(in *api.CreateAllocation) { in.Body.Queue = true }
func spread(in *api.CreateAllocation) { in.Body.Spread = "zone" }
func for1s(in *api.CreateAllocation)  { in.Body.For = 1 }

func (p plane) allocation(t *testing.T, id sprout.AllocationID) api.AllocationReport {
	t.Helper()
	return must(client.Call(t.Context(), p.admin, api.AllocationShow, api.AllocationRef{Allocation: string(id)}))(t)
}

func (p plane) cancel(t *testing.T, id sprout.AllocationID) {
	t.Helper()
	must(client.Call(t.Context(), p.admin, api.AllocationCancel, api.AllocationRef{Allocation: string(id)}))(t)
}

// awaitAllocation returns an allocation once it is in a state.
func (p plane) awaitAllocation(t *testing.T, id sprout.AllocationID, state sprout.AllocationState) api.AllocationReport {
	t.Helper()
	return eventually(t, func() (api.AllocationReport, error) {
		return client.Call(t.Context(), p.admin, api.AllocationShow, api.AllocationRef{Allocation: string(id)})
	}, func(a api.AllocationReport) bool { return a.State == state })
}

func scan[T any](t *testing.T, db *pgx.Conn, sql string, args ...any) (v T) {
	t.Helper()
	if err := db.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// Whoever competes, also those who take machines one by one, an allocation has all
// of its machines or none, none is given twice, and as many are as can be.
func TestAllOrNoneUnderCompetition(t *testing.T) {
	const machines, clients, size = 120, 12, 7
	p, db := fleet(t, machines)
	var mu sync.Mutex
	var got []api.AllocationReport
	singles := 0
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			for range 4 {
				a, err := together(t, p.admin, fmt.Sprint("team-", c), size, func(in *api.CreateAllocation) {
					if c%3 == 0 {
						spread(in)
					}
				})
				mu.Lock()
				switch {
				case err == nil:
					got = append(got, a)
				case sprout.KindOf(err) != sprout.Conflict || !strings.Contains(err.Error(), "cannot allocate 7 machines"):
					t.Errorf("not refused with the reason: %v", err)
				}
				mu.Unlock()
			}
		})
		all.Go(func() {
			var in api.AllocateMachine
			in.Body.Owner = "single"
			for range 2 {
				if _, err := client.Call(t.Context(), p.admin, api.MachineAllocate, in); err == nil {
					mu.Lock()
					singles++
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	given := map[sprout.MachineID]bool{}
	for _, a := range got {
		if len(a.Machines) != size || a.State != sprout.AllocationGiven {
			t.Errorf("%s is %s of %d machines", a.ID, a.State, len(a.Machines))
		}
		for _, m := range a.Machines {
			if given[m.ID] {
				t.Errorf("%s is given twice", m.Name)
			}
			given[m.ID] = true
		}
	}
	left := scan[int](t, db, `SELECT count(*) FROM machine WHERE state = 'ready'`)
	if len(given)+singles+left != machines || left >= size {
		t.Errorf("%d and %d machines are given, and %d left", len(given), singles, left)
	}
	if n := scan[int](t, db, `SELECT count(*) FROM machine m WHERE state = 'allocated' AND owner <> 'single' AND NOT EXISTS (SELECT FROM allocation_machine h WHERE h.machine = m.id)`); n != 0 {
		t.Errorf("%d machines are of no allocation", n)
	}
}

// Machines are spread evenly over the zones that there are, also those that have
// none free; who cannot is told what is missing where.
func TestSpreadOverZones(t *testing.T) {
	p, db := fleet(t, 9)
	a := must(together(t, p.admin, "shop", 4, spread))(t)
	in := map[string]int{}
	for _, m := range a.Machines {
		in[m.Zone]++
	}
	if len(in) != 3 || slices.Max([]int{in["z0"], in["z1"], in["z2"]}) != 2 {
		t.Errorf("spread over %v", in)
	}
	must(db.Exec(t.Context(), `UPDATE machine SET locked = true WHERE zone = 'z1' AND state = 'ready'`))(t)
	_, err := together(t, p.admin, "shop", 3, spread)
	if err == nil || !strings.Contains(err.Error(), "evenly: of the zones z0, z1, z2, zone z1 has 0 that fit, and would need 1") {
		t.Errorf("not told what is missing: %v", err)
	}
	if _, err := together(t, p.admin, "shop", 2, spread); err != nil {
		t.Errorf("two of three zones have machines: %v", err)
	}
}

// A quota is never passed, however many ask at once, by whatever way.
func TestAQuotaIsNeverPassed(t *testing.T) {
	const quota, clients = 10, 16
	p, db := fleet(t, 60)
	var set api.SetQuota
	set.Owner, set.Body.Machines = "shop", quota
	must(client.Call(t.Context(), p.admin, api.QuotaSet, set))(t)
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			for range 3 {
				var in api.AllocateMachine
				in.Body.Owner = "shop"
				var err error
				if c%2 == 0 {
					_, err = together(t, p.admin, "shop", 3)
				} else {
					_, err = client.Call(t.Context(), p.admin, api.MachineAllocate, in)
				}
				if err != nil && (sprout.KindOf(err) != sprout.Conflict || !strings.Contains(err.Error(), "its quota is 10 machines, it has ")) {
					t.Errorf("not refused for the quota: %v", err)
				}
			}
		})
		all.Go(func() { // nobody else waits for that
			if _, err := together(t, p.admin, fmt.Sprint("other-", c), 2); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := scan[int](t, db, `SELECT count(*) FROM machine WHERE owner = 'shop'`); n != quota {
		t.Errorf("it has %d machines of %d", n, quota)
	}
	_, err := together(t, p.admin, "shop", 3)
	if err == nil || !strings.Contains(err.Error(), "its quota is 10 machines, it has 10, and 3 more were asked for") {
		t.Errorf("the refusal says %v", err)
	}
	q := must(client.Call(t.Context(), p.admin, api.QuotaShow, api.QuotaRef{Owner: "shop"}))(t)
	if q.Has != quota || q.Machines != quota || q.By != "admin" {
		t.Errorf("it is %+v", q)
	}
	must(client.Call(t.Context(), p.admin, api.QuotaDelete, api.QuotaRef{Owner: "shop"}))(t)
	must(together(t, p.admin, "shop", 3))(t)
}

// Those who wait are served oldest first as machines come free: what an older one
// waits for is not given to a younger. Who may have no more is in nobody's way.
func TestTheQueueIsServedOldestFirst(t *testing.T) {
	p, _ := fleet(t, 3)
	var one [3]sprout.AllocationID
	for i := range one {
		one[i] = must(together(t, p.admin, "first", 1))(t).ID
	}
	var set api.SetQuota
	set.Owner, set.Body.Machines = "capped", 0
	must(client.Call(t.Context(), p.admin, api.QuotaSet, set))(t)
	capped := must(together(t, p.admin, "capped", 1, queued))(t)
	two := must(together(t, p.admin, "old", 2, queued))(t)
	last := must(together(t, p.admin, "young", 1, queued))(t)
	if capped.Place != 1 || two.Place != 2 || last.Place != 3 || two.State != sprout.AllocationQueued {
		t.Errorf("places %d, %d, %d", capped.Place, two.Place, last.Place)
	}
	if why := two.Wait; why.Why != "0 of 3 machines fit, and 2 are wanted" || len(why.Removed) != 1 || why.Removed[0].Removed != 3 {
		t.Errorf("it waits because %+v", why)
	}
	p.cancel(t, one[0])
	if now := p.allocation(t, two.ID); now.Wait == nil || now.Wait.Why != "1 of 3 machines fit, and 2 are wanted" {
		t.Errorf("it waits because %+v", now.Wait)
	}
	if now := p.allocation(t, capped.ID); now.Wait == nil || !strings.Contains(now.Wait.Why, "quota is 0 machines") {
		t.Errorf("it waits because %+v", now.Wait)
	}
	if now := p.allocation(t, last.ID); now.Wait == nil || now.Wait.Why != "machines that fit are kept for who asked before" {
		t.Errorf("it waits because %+v", now.Wait)
	}
	p.cancel(t, one[1])
	if a := p.awaitAllocation(t, two.ID, sprout.AllocationGiven); len(a.Machines) != 2 || a.Owner != "old" {
		t.Errorf("given is %+v", a)
	}
	if now := p.allocation(t, last.ID); now.State != sprout.AllocationQueued || now.Place != 2 {
		t.Errorf("the youngest is %s at %d", now.State, now.Place)
	}
	p.cancel(t, one[2])
	p.awaitAllocation(t, last.ID, sprout.AllocationGiven)
	p.cancel(t, capped.ID)
	if now := p.allocation(t, capped.ID); now.State != sprout.AllocationCancelled {
		t.Errorf("who gave up is %s", now.State)
	}
}

// When the time of a reservation is over, what was not deployed is ready again, the
// rest stays, and people were told before. One that is extended goes on. A server
// that was away does it when it is back.
func TestAReservationEnds(t *testing.T) {
	url, dir := storetest.NewURL(t), t.TempDir()
	config := func(c *server.Config) { c.Database.URL, c.Dir = url, dir }
	p := run(t, config)
	site := must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	db := must(pgx.Connect(t.Context(), url))(t)
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	must(db.Exec(t.Context(), `INSERT INTO machine (site, id, name, state) SELECT $1, 'mch_' || lpad(n::text, 26, '0'), 'm' || n, 'ready' FROM generate_series(1, 6) n`, site.ID))(t)
	a := must(together(t, p.admin, "shop", 2, for1s))(t)
	must(db.Exec(t.Context(), `UPDATE machine SET state = 'deployed' WHERE name = $1`, a.Machines[0].Name))(t)
	longer := must(together(t, p.admin, "shop", 1, for1s))(t)
	var extend api.ExtendAllocation
	extend.Allocation, extend.Body.For = string(longer.ID), 3600
	if now := must(client.Call(t.Context(), p.admin, api.AllocationExtend, extend))(t); time.Until(*now.ExpiresAt) < 50*time.Minute {
		t.Errorf("it ends at %s", now.ExpiresAt)
	}
	over := p.awaitAllocation(t, a.ID, sprout.AllocationExpired)
	if over.Machines[0].State != sprout.Deployed || over.Machines[0].LeftAt != nil || over.Machines[1].State != sprout.Ready || over.Machines[1].LeftAt == nil {
		t.Errorf("its machines are %+v", over.Machines)
	}
	if owner := scan[string](t, db, `SELECT owner FROM machine WHERE id = $1`, over.Machines[1].ID); owner != "" {
		t.Errorf("what went back is still of %q", owner)
	}
	if n := scan[int](t, db, `SELECT count(*) FROM event WHERE subject = $1 AND state = 'expiring'`, a.ID); n != 1 {
		t.Errorf("people were told %d times", n)
	}
	if n := scan[int](t, db, `SELECT count(*) FROM machine_history WHERE machine = $1 AND event = 'released'`, over.Machines[1].ID); n != 1 {
		t.Errorf("its history has %d releases", n)
	}
	if now := p.allocation(t, longer.ID); now.State != sprout.AllocationGiven {
		t.Errorf("what was extended is %s", now.State)
	}
	away := must(together(t, p.admin, "shop", 2, for1s))(t)
	locked := away.Machines[0].Name
	must(client.Call(t.Context(), p.admin, api.MachineLock, api.MachineRef{Machine: locked}))(t)
	p.stop()
	must(db.Exec(t.Context(), `SELECT pg_sleep(greatest(0, extract(epoch FROM expires_at - now()))) FROM allocation WHERE id = $1`, away.ID))(t)
	p = run(t, config)
	eventually(t, func() (string, error) {
		return scan[string](t, db, `SELECT state FROM machine WHERE id = $1`, away.Machines[1].ID), nil
	}, func(state string) bool { return state == "ready" })
	if now := p.allocation(t, away.ID); now.State != sprout.AllocationGiven || now.Machines[0].State != sprout.Allocated {
		t.Errorf("with a locked machine it is %s, and that %s", now.State, now.Machines[0].State)
	}
	must(client.Call(t.Context(), p.admin, api.MachineUnlock, api.MachineRef{Machine: locked}))(t)
	var cancelled api.AllocationRef
	cancelled.Allocation = string(away.ID)
	must(client.Call(t.Context(), p.admin, api.AllocationCancel, cancelled))(t)
	if n := scan[int](t, db, `SELECT count(*) FROM machine WHERE state = 'ready'`); n != 4 {
		t.Errorf("%d machines are ready", n)
	}
}

// A machine that something was done with goes back by a release at its site.
func TestAUsedMachineIsReleasedByAWorkflow(t *testing.T) {
	p, db := fleet(t, 1)
	f := enrol(t, p, "lon1")
	a := must(together(t, p.admin, "shop", 1, for1s))(t)
	must(db.Exec(t.Context(), `UPDATE machine SET generation = generation + 1`))(t) // as after a deploy that failed
	m := a.Machines[0].ID
	work := f.await(func(c sprout.Change) bool { return c.Kind == sprout.ChangeWork })
	f.report(sprout.FactWorkEnded, m, work.Key, sprout.WorkResult{State: sprout.Succeeded})
	eventually(t, func() (string, error) {
		return scan[string](t, db, `SELECT state || ' ' || owner FROM machine WHERE id = $1`, m), nil
	}, func(now string) bool { return now == "ready " })
	if now := p.allocation(t, a.ID); now.Machines[0].LeftAt == nil {
		t.Errorf("it is %+v", now)
	}
}

// Of two replicas one serves the queue at a time: each allocation once, in order.
func TestTwoReplicasServeOneQueue(t *testing.T) {
	const waiting = 20
	url, dir := storetest.NewURL(t), t.TempDir()
	hub, _ := startHubAt(t, url, dir, "127.0.0.1:0")
	first, second := run(t, replica(t, "first", url, dir, hub.URL())), run(t, replica(t, "second", url, dir, hub.URL()))
	site := must(client.Call(t.Context(), first.admin, api.SiteCreate, siteNamed("lon1")))(t)
	db := must(pgx.Connect(t.Context(), url))(t)
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	must(db.Exec(t.Context(), `INSERT INTO machine (site, id, name, state) SELECT $1, 'mch_' || lpad(n::text, 26, '0'), 'm' || n, 'ready' FROM generate_series(1, $2::int) n`, site.ID, waiting))(t)
	all := must(together(t, first.admin, "first", waiting))(t)
	var list []sprout.AllocationID
	for i := range waiting {
		p := []plane{first, second}[i%2]
		list = append(list, must(together(t, p.admin, fmt.Sprint("team-", i), 1, queued))(t).ID)
	}
	second.cancel(t, all.ID)
	for _, id := range list {
		if a := first.awaitAllocation(t, id, sprout.AllocationGiven); len(a.Machines) != 1 {
			t.Errorf("%s has %d machines", id, len(a.Machines))
		}
	}
	for what, sql := range map[string]string{
		"machines are of two allocations":   `SELECT count(*) FROM (SELECT machine FROM allocation_machine WHERE left_at IS NULL GROUP BY machine HAVING count(*) > 1) m`,
		"allocations were served too early": `SELECT count(*) FROM allocation a JOIN allocation b ON a.number < b.number AND a.given_at > b.given_at WHERE a.id <> '` + string(all.ID) + `'`,
		"machines were given by no history": fmt.Sprintf(`SELECT count(*) - %d FROM machine_history WHERE event = 'allocate'`, 2*waiting),
	} {
		if n := scan[int](t, db, sql); n != 0 {
			t.Errorf("%d %s", n, what)
		}
	}
}

// Who waits is served after every server was killed with -9, in order.
func TestAKilledServerServesItsQueueLater(t *testing.T) {
	url, dir := storetest.NewURL(t), storetest.Dir(t)
	must(store.OpenKey(filepath.Join(dir, "key")))(t)
	hub := startChild(t, server.Child{Name: "hub", Dir: dir, Database: url, Hub: "nats://" + freePort(t), Lease: time.Second, Net: time.Second})
	defer hub.stop(t)
	g := &provingGround{t: t, dir: dir, database: url, hub: hub}
	g.lease, g.net = time.Second, time.Second
	g.servers = append(g.servers, startChild(t, g.child("server0", hub.Hub)))
	defer func() { g.servers[0].stop(t) }()
	g.token = strings.TrimSpace(string(must(os.ReadFile(filepath.Join(dir, "admin-token")))(t)))
	site := must(client.Call(t.Context(), g.admin(), api.SiteCreate, siteNamed("lon1")))(t)
	db := must(pgx.Connect(t.Context(), url))(t)
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	must(db.Exec(t.Context(), `INSERT INTO machine (site, id, name, state, locked) SELECT $1, 'mch_' || lpad(n::text, 26, '0'), 'm' || n, 'ready', true FROM generate_series(1, 2) n`, site.ID))(t)
	old := must(together(t, g.admin(), "old", 1, queued))(t)
	young := must(together(t, g.admin(), "young", 2, queued))(t)
	g.servers[0].kill()
	must(db.Exec(t.Context(), `UPDATE machine SET locked = false WHERE name = 'm1'`))(t)
	g.servers[0] = startChild(t, g.child("server1", hub.Hub))
	p := plane{admin: g.admin()}
	p.awaitAllocation(t, old.ID, sprout.AllocationGiven)
	if now := p.allocation(t, young.ID); now.State != sprout.AllocationQueued || now.Place != 1 {
		t.Errorf("the younger is %s at %d", now.State, now.Place)
	}
}
