package server_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/api"
	"sprout/client"
)

// A commission waits for a machine that takes no offer. The explanation says so
// while it waits, with how long that usually takes, and after it has failed.
func TestExplain(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	f := enrol(t, p, "lon1")
	mac := "52:54:00:00:00:11"
	m := p.machine(t, "lon1", "m1", mac)
	inv := inventory(mac)
	inv.Vendor, inv.Model = "Dell", "R740"
	f.report(sprout.FactInventory, m.ID, "", inv)
	explain := func() (api.Explanation, error) {
		return client.Call(t.Context(), p.admin, api.MachineExplain, api.MachineRef{Machine: "m1"})
	}
	idle := eventually(t, explain, func(x api.Explanation) bool { return x.Machine == "m1" })
	if idle.Workflow != nil || len(idle.Help) == 0 || !strings.Contains(idle.Help[0], "sprout machine commission m1") {
		t.Errorf("of a machine that does nothing: %+v", idle)
	}

	for range 3 { // a history of three runs that ended well
		f.commissioned(t, p, m, 40*time.Second)
	}
	var in api.CommissionMachine
	in.Machine = "m1"
	w := must(client.Call(t.Context(), p.admin, api.MachineCommission, in))(t)
	work := f.await(func(c sprout.Change) bool { return c.Kind == sprout.ChangeWork && c.Key == string(w.ID)+"/1" })
	began := time.Now().UTC()
	f.report(sprout.FactStep, m.ID, work.Key, sprout.StepRecord{Name: "boot-ramdisk", At: "site", Attempt: 1, Outcome: "running", StartedAt: began})
	attempt := sprout.AttemptID("att_00000000000000000000000001")
	f.report(sprout.FactBoot, "", "", []sprout.BootEvent{
		{At: began, Attempt: attempt, Machine: m.ID, What: sprout.SawPowerOn},
		{At: began.Add(time.Second), Attempt: attempt, Machine: m.ID, MAC: mac, What: sprout.SawDiscover, Client: "pxe-0"},
		{At: began.Add(time.Second), Attempt: attempt, Machine: m.ID, MAC: mac, What: sprout.SawOffer, Client: "pxe-0", File: "undionly.kpxe", Detail: "offers 10.20.0.9\x00"},
	})
	x := eventually(t, explain, func(x api.Explanation) bool { return x.Cause != nil })
	if !x.Offline || !slices.Contains(x.Help, "sprout agent list") { // this agent has no heartbeat
		t.Errorf("the site is told of as online: %+v", x)
	}
	if x.Cause.Code != sprout.OfferIgnored || x.Cause.Means == "" || x.Cause.Remedy == "" || x.Workflow.Step != "boot-ramdisk" || x.Workflow.Since.Sub(began).Abs() > time.Millisecond {
		t.Errorf("cause %+v of %+v", x.Cause, x.Workflow)
	}
	if u := x.Usual; u == nil || u.Runs != 3 || u.P50 != 40 || u.P95 != 40 || u.Model != "R740" {
		t.Errorf("usual: %+v", x.Usual)
	}
	if x.Attempt != attempt || len(x.Evidence) != 3 || !slices.Contains(x.Help, "sprout boot show m1") || !slices.Contains(x.Help, "sprout workflow cancel "+string(w.ID)) {
		t.Errorf("evidence %+v, help %q", x.Evidence, x.Help)
	}

	f.report(sprout.FactWorkEnded, m.ID, work.Key, sprout.WorkResult{State: sprout.FailedRun, Failure: &sprout.Failure{Code: sprout.OfferIgnored, Step: "boot-ramdisk", Reason: "no request"}})
	must(p.admin.Follow(t.Context(), w.ID, func(sprout.Workflow) {}))(t)
	x = must(client.Call(t.Context(), p.admin, api.WorkflowExplain, api.WorkflowRef{Workflow: string(w.ID)}))(t)
	if x.Cause == nil || x.Cause.Code != sprout.OfferIgnored || x.Workflow.State != sprout.FailedRun || x.Attempt != attempt || !strings.Contains(x.Help[0], "sprout workflow retry "+string(w.ID)) {
		t.Errorf("of a workflow that failed: %+v, cause %+v, help %q", x.Workflow, x.Cause, x.Help)
	}
}

// commissioned plays a commission whose boot took so long, to its good end.
func (f *far) commissioned(t *testing.T, p plane, m sprout.Machine, took time.Duration) {
	t.Helper()
	var in api.CommissionMachine
	in.Machine = m.Name
	w := must(client.Call(t.Context(), p.admin, api.MachineCommission, in))(t)
	work := string(w.ID) + "/1"
	f.await(func(c sprout.Change) bool { return c.Kind == sprout.ChangeWork && c.Key == work })
	began := time.Now().UTC().Add(-took)
	ended := began.Add(took)
	f.report(sprout.FactStep, m.ID, work, sprout.StepRecord{Name: "boot-ramdisk", At: "site", Attempt: 1, Outcome: "done", StartedAt: began, EndedAt: &ended})
	f.report(sprout.FactWorkEnded, m.ID, work, sprout.WorkResult{State: sprout.Succeeded})
	if done := must(p.admin.Follow(t.Context(), w.ID, func(sprout.Workflow) {}))(t); done.State != sprout.Succeeded {
		t.Fatalf("workflow: %+v", done)
	}
}

func TestBootTimelines(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	f := enrol(t, p, "lon1")
	m := p.machine(t, "lon1", "m1", "52:54:00:00:00:11")
	show := func(attempt string) (sprout.BootAttempt, error) {
		return client.Call(t.Context(), p.admin, api.BootShow, api.BootRef{MachineRef: api.MachineRef{Machine: "m1"}, Attempt: attempt})
	}
	if _, err := show(api.LatestBoot); sprout.KindOf(err) != sprout.NotFound {
		t.Errorf("of a machine that never booted: %v", err)
	}
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	older, newer := sprout.AttemptID("att_0000000000000000000000000a"), sprout.AttemptID("att_0000000000000000000000000b")
	f.report(sprout.FactBoot, "", "", []sprout.BootEvent{
		{At: noon, Attempt: older, MAC: "52:54:00:00:00:11", What: sprout.SawDiscover},
		{At: noon.Add(2 * time.Second), Attempt: newer, Machine: m.ID, What: sprout.SawHello},
		{At: noon.Add(time.Second), Attempt: newer, Machine: m.ID, What: sprout.SawKernel, File: "vmlinuz", Bytes: 2e6, Size: 2e6, Seconds: 0.5},
	})
	boot := eventually(t, func() (sprout.BootAttempt, error) { return show(api.LatestBoot) }, func(a sprout.BootAttempt) bool { return len(a.Events) == 2 })
	if boot.ID != newer || boot.Events[0].What != sprout.SawKernel || boot.Events[0].Bytes != 2e6 || boot.Events[1].Machine != m.ID {
		t.Errorf("the latest is %+v", boot)
	}
	list := must(client.List(t.Context(), p.admin, api.BootList, api.ListOfMachine{MachineRef: api.MachineRef{Machine: "m1"}}, 0))(t)
	if len(list) != 2 || list[0].ID != newer || list[1].ID != older || list[0].Last != sprout.SawHello {
		t.Errorf("attempts: %+v", list)
	}
	if a, err := show(string(older)); err != nil || len(a.Events) != 1 {
		t.Errorf("the older one: %+v, %v", a, err)
	}
	if _, err := show("att_"); sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("of both: %v", err)
	}
	if _, err := show("att_zz"); sprout.KindOf(err) != sprout.NotFound {
		t.Errorf("of none: %v", err)
	}
}
