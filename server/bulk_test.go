package server_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/api"
	"sprout/client"
)

func (p plane) bulk(t *testing.T, action string, change func(*api.BulkMachines), machines ...string) (api.BulkResult, error) {
	t.Helper()
	var in api.BulkMachines
	in.Body.Action, in.Body.Machines = action, machines
	if change != nil {
		change(&in)
	}
	return client.Call(t.Context(), p.admin, api.MachineBulk, in)
}

// outcomes writes a result as "name outcome, …".
func outcomes(r api.BulkResult) string {
	var all []string
	for _, item := range r.Items {
		all = append(all, item.Name+" "+item.Outcome)
	}
	return strings.Join(all, ", ")
}

// One machine that is refused stops no other, and each is audited for itself
// under the one id of the request.
func TestBulkReportsEachMachine(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	for i := 1; i <= 3; i++ {
		p.machine(t, "lon1", fmt.Sprintf("m%d", i), fmt.Sprintf("52:54:00:00:01:%02d", i))
	}
	locked := must(p.bulk(t, "lock", nil, "m1", "gone", "lon1/m3", "m1"))(t)
	if got := outcomes(locked); got != "m1 done, gone refused, m3 done, m1 refused" || locked.Refused != 2 {
		t.Fatalf("lock: %s (%d refused)", got, locked.Refused)
	}
	missing, twice := locked.Items[1].Fault, locked.Items[3].Fault
	if missing.Status != 404 || missing.Kind != sprout.NotFound || missing.Remedy != "sprout machine list" || missing.Request == "" {
		t.Errorf("the fault of what is not there: %+v", missing)
	}
	if twice.Status != 409 || !strings.Contains(twice.Detail, "named twice") {
		t.Errorf("the fault of what is named twice: %+v", twice)
	}
	for name, want := range map[string]bool{"m1": true, "m2": false, "m3": true} {
		if m := must(show(t, p, name)())(t); m.Locked != want {
			t.Errorf("%s is locked: %t", name, m.Locked)
		}
	}
	records := must(client.List(t.Context(), p.admin, api.AuditList, api.ListAudit{}, 0))(t)
	var of []string
	for _, r := range records {
		if r.Request == missing.Request {
			of = append(of, r.Name+" "+r.Action+" "+r.Outcome)
		}
	}
	slices.Sort(of)
	if want := []string{"gone machine lock refused", "m1 machine lock done", "m1 machine lock refused", "m3 machine lock done"}; !slices.Equal(of, want) {
		t.Errorf("audited as %q", of)
	}

	all := func(in *api.BulkMachines) {
		in.Body.Select = &api.MachineSelector{MachineMatch: api.MachineMatch{State: []sprout.State{sprout.Registered}}}
	}
	marked := must(p.bulk(t, "mark-broken", func(in *api.BulkMachines) {
		all(in)
		in.Body.Mark = &api.Marking{Reason: "flood"}
	}))(t)
	if got := outcomes(marked); got != "m1 done, m2 done, m3 done" || marked.Items[0].State != sprout.Broken {
		t.Errorf("mark-broken: %s, %+v", got, marked.Items[0])
	}
	if none := must(p.bulk(t, "unlock", all))(t); none.Items == nil || len(none.Items) != 0 {
		t.Errorf("what selects no machine: %+v", none)
	}
	h := must(client.List(t.Context(), p.admin, api.MachineHistory, api.ListOfMachine{MachineRef: api.MachineRef{Machine: "m2"}}, 0))(t)
	if last := h[len(h)-1]; !slices.ContainsFunc(h, func(e api.HistoryEntry) bool { return e.Detail == "flood" }) {
		t.Errorf("history: %+v", last)
	}
	updated := must(p.bulk(t, "update", func(in *api.BulkMachines) { in.Body.Update = &api.MachineUpdates{Pool: new("web")} }, "m1", "m2"))(t)
	if m := must(show(t, p, "m2")())(t); updated.Refused != 0 || m.Pool != "web" {
		t.Errorf("update: %s, pool %q", outcomes(updated), m.Pool)
	}
}

// A plan changes nothing, neither machines nor the audit.
func TestBulkPlanDoesNothing(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	p.machine(t, "lon1", "m1", "52:54:00:00:01:01")
	p.machine(t, "lon1", "m2", "52:54:00:00:01:02")
	must(client.Call(t.Context(), p.admin, api.MachineLock, api.MachineRef{Machine: "m2"}))(t)
	before := len(must(client.List(t.Context(), p.admin, api.AuditList, api.ListAudit{}, 0))(t))
	plan := func(in *api.BulkMachines) { in.Body.Plan = true }
	for action, want := range map[string]string{
		"delete": "m1 planned, m2 refused", "commission": "m1 planned, m2 refused", "lock": "m1 planned, m2 planned",
		"mark-broken": "m1 planned, m2 planned", "retire": "m1 planned, m2 refused", "mark-fixed": "m1 refused, m2 refused", "release": "m1 refused, m2 refused", "accept": "m1 refused, m2 refused",
	} {
		r := must(p.bulk(t, action, plan, "m1", "m2"))(t)
		if got := outcomes(r); got != want {
			t.Errorf("%s: %s, want %s", action, got, want)
		}
		if action == "delete" && (len(r.Items[0].Plan.Destroys) == 0 || r.Cost.Destructive != 1) {
			t.Errorf("a delete destroys nothing: %+v, %+v", r.Items[0].Plan, r.Cost)
		}
	}
	for _, name := range []string{"m1", "m2"} {
		if m := must(show(t, p, name)())(t); m.State != sprout.Registered || m.Activity != nil {
			t.Errorf("%s is %s, %+v", name, m.State, m.Activity)
		}
	}
	if after := len(must(client.List(t.Context(), p.admin, api.AuditList, api.ListAudit{}, 0))(t)); after != before {
		t.Errorf("plans left %d records", after-before)
	}
}

// What is wrong for every machine is the request's own error.
func TestBulkRefusesTheWholeRequest(t *testing.T) {
	p := run(t)
	for body, field := range map[string]string{
		`{"action":"dance","machines":["m1"]}`:                                    "action",
		`{"action":"lock"}`:                                                       "machines",
		`{"action":"lock","machines":["m1"],"select":{"all":true}}`:               "select",
		`{"action":"lock","select":{}}`:                                           "select",
		`{"action":"lock","select":{"colour":"red"}}`:                             "select.colour",
		`{"action":"lock","select":{"site":"nowhere"}}`:                           "select.site",
		`{"action":"deploy","machines":["m1"]}`:                                   "deploy",
		`{"action":"deploy","select":{"all":true},"deploy":{"image":"no"}}`:       "deploy.image",
		`{"action":"lock","machines":["m1"],"release":{"erase":true}}`:            "release",
		`{"action":"update","machines":["m1"]}`:                                   "update",
		`{"action":"lock","machines":[` + strings.Repeat(`"m",`, 10000) + `"m"]}`: "machines",
	} {
		answer, fault := p.ask(t, "POST", "/v1/machines/bulk", p.token, body)
		if want := 422; answer.status != want && (answer.status != 404 || !strings.HasSuffix(body, `}}`)) || fault.Field != field {
			t.Errorf("%.80s: %d, field %q, %s", body, answer.status, fault.Field, fault.Detail)
		}
	}
}

// Many are started by one request, each with a workflow of its own; asked again
// each is refused, for one runs already.
func TestBulkStartsManyWorkflows(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	const count = 40
	for i := range count {
		p.machine(t, "lon1", fmt.Sprintf("m%d", i), fmt.Sprintf("52:54:00:00:02:%02x", i))
	}
	everyone := func(in *api.BulkMachines) { in.Body.Select = &api.MachineSelector{All: true} }
	r := must(p.bulk(t, "commission", everyone))(t)
	ids := map[sprout.WorkflowID]bool{}
	for _, item := range r.Items {
		if item.Outcome != api.BulkAccepted || item.Workflow == nil {
			t.Fatalf("%+v", item)
		}
		ids[item.Workflow.ID] = true
	}
	if len(ids) != count {
		t.Errorf("%d workflows of %d machines", len(ids), count)
	}
	again := must(p.bulk(t, "commission", everyone))(t)
	if again.Refused != count || again.Items[0].Fault.Kind != sprout.Conflict {
		t.Errorf("a second time: %d refused, %+v", again.Refused, again.Items[0])
	}
}

// A plan of an install names each disk with its fate, what it costs in time,
// bytes and addresses, and what stands against it.
func TestPlanOfADeployAndARelease(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	var network api.CreateNetwork
	network.Body.Site, network.Body.Name, network.Body.CIDR = "lon1", "prov", "10.20.0.0/24"
	must(client.Call(t.Context(), p.admin, api.NetworkCreate, network))(t)
	f := enrol(t, p, "lon1")
	raw := bytes.Repeat([]byte("sprout.."), 1<<16)
	image := must(p.admin.ImportImage(t.Context(), api.ImportImage{Name: "small", Content: bytes.NewReader(raw)}, int64(len(raw))))(t)
	mac := "52:54:00:00:00:11"
	m := p.machine(t, "lon1", "m1", mac)
	inv := inventory(mac)
	inv.Vendor, inv.Model = "Dell", "R740"
	inv.Disks = append(inv.Disks, sprout.Disk{Name: "vdb", Bytes: 16 << 30, Serial: "d2", Model: "SSD"})
	f.report(sprout.FactInventory, m.ID, "", inv)
	eventually(t, show(t, p, "m1"), func(m sprout.Machine) bool { return m.Inventory != nil })
	for range 3 {
		f.commissioned(t, p, m, time.Second)
	}
	var give api.AllocateMachine
	give.Body.Name = "m1"
	must(client.Call(t.Context(), p.admin, api.MachineAllocate, give))(t)

	plan := func(change func(*api.BulkMachines)) (api.Plan, api.Cost) {
		t.Helper()
		r := must(p.bulk(t, "deploy", func(in *api.BulkMachines) {
			in.Body.Plan, in.Body.Deploy = true, &api.Deployment{Image: "small"}
			change(in)
		}, "m1"))(t)
		if outcomes(r) != "m1 planned" {
			t.Fatalf("%+v", r.Items[0].Fault)
		}
		return *r.Items[0].Plan, *r.Cost
	}
	fates := func(p api.Plan) (all string) {
		for _, d := range p.Disks {
			all += d.Name + " " + d.Serial + " " + d.Fate + fmt.Sprint(d.Empty) + ";"
		}
		return all
	}
	first, cost := plan(func(*api.BulkMachines) {})
	if got := fates(first); got != "vda d1 overwrittenfalse;vdb d2 keptfalse;" || !first.Destructive() || len(first.Destroys) != 0 {
		t.Errorf("disks %s, destroys %q", got, first.Destroys)
	}
	if len(first.Addresses) != 1 || !strings.Contains(first.Addresses[0], "prov (10.20.0.0/24)") || first.Becomes != sprout.Deployed {
		t.Errorf("plan: %+v", first)
	}
	at := api.SiteCost{Site: "lon1", Machines: 1, Uplink: image.Bytes, Traffic: image.Bytes, Addresses: 1}
	if cost.Disks != 1 || cost.Bytes != 8<<30 || cost.Destructive != 1 || len(cost.Sites) != 1 || cost.Sites[0] != at {
		t.Errorf("cost: %+v", cost)
	}
	if u := first.Usual; u == nil || u.Model != "R740" || u.Runs != 0 || u.P50 != 0 {
		t.Errorf("usual of what never ran: %+v", u)
	}
	if p, _ := plan(func(in *api.BulkMachines) { in.Body.Deploy.Disk.Serial = "d9" }); p.Destructive() || len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "serial=d9") {
		t.Errorf("a rule that no disk matches: %+v", p)
	}

	// Erased and read back, its disks have nothing to lose.
	var release api.ReleaseMachine
	release.Machine, release.Body.Erase, release.Body.Plan = "m1", true, true
	all := must(client.Call(t.Context(), p.admin, api.MachineRelease, release))(t)
	if got := fates(all); got != "vda d1 erasedfalse;vdb d2 erasedfalse;" || !all.Destructive() {
		t.Errorf("release: %s, %q", got, all.Destroys)
	}
	release.Body.Plan = false
	w := must(client.Call(t.Context(), p.admin, api.MachineRelease, release))(t).Workflow
	work := string(w.ID) + "/1"
	f.await(func(c sprout.Change) bool { return c.Kind == sprout.ChangeWork && c.Key == work })
	f.report(sprout.FactWorkEnded, m.ID, work, sprout.WorkResult{State: sprout.Succeeded})
	if done := must(p.admin.Follow(t.Context(), w.ID, func(sprout.Workflow) {}))(t); done.State != sprout.Succeeded {
		t.Fatalf("release: %+v", done)
	}
	must(client.Call(t.Context(), p.admin, api.MachineAllocate, give))(t)
	empty, cost := plan(func(*api.BulkMachines) {})
	if got := fates(empty); got != "vda d1 overwrittentrue;vdb d2 kepttrue;" || empty.Destructive() || cost.Destructive != 0 || cost.Disks != 0 {
		t.Errorf("after an erase: %s, destroys %q, cost %+v", got, empty.Destroys, cost)
	}
	commission := must(p.bulk(t, "commission", func(in *api.BulkMachines) { in.Body.Plan = true }, "m1"))(t)
	if commission.Items[0].Fault == nil {
		t.Errorf("a machine that is allocated may be commissioned: %+v", commission.Items[0].Plan)
	}
}
