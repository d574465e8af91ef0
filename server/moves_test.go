package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/api"
	"sprout/client"
	"sprout/server"
	"sprout/store/storetest"
)

// Every step of a workflow that ends, in the control plane and at the site,
// leaves a record under the name of who asked for the workflow: once, in the
// order of the steps, and before that of the workflow's own end.
func TestWorkflowMovesAreOnRecord(t *testing.T) {
	url := storetest.NewURL(t)
	p := run(t, func(c *server.Config) { c.Database.URL = url })
	site := must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	f := enrol(t, p, "lon1")
	m := p.machine(t, "lon1", "m1", "52:54:00:00:00:41")
	ci := p.as(t, p.bearer(t, sprout.Operator))
	w := must(client.Call(t.Context(), ci, api.MachineCommission, api.CommissionMachine{MachineRef: api.MachineRef{Machine: "m1"}}))(t)
	work := f.awaitWork("commission")
	began := time.Date(2026, 1, 2, 3, 4, 5, 600e6, time.UTC)
	step := func(name, outcome, detail string, ended *time.Time) {
		f.report(sprout.FactStep, m.ID, work.ID, sprout.StepRecord{Name: name, At: "site", Attempt: 1, Outcome: outcome, Detail: detail, StartedAt: began, EndedAt: ended})
	}
	ended := began.Add(1500 * time.Millisecond)
	step("power-on", "running", "", nil)
	step("power-on", "done", "", &ended)
	step("boot-ramdisk", "running", "", nil)
	step("boot-ramdisk", "failed", "no DISCOVER was seen", &ended)
	step("power-on", "undone", "", &ended)
	f.report(sprout.FactWorkEnded, m.ID, work.ID, sprout.WorkResult{State: sprout.FailedRun, Failure: sprout.Fail(sprout.NoDiscover, "it never asked", "")})
	eventually(t, func() (api.VersionedWorkflow, error) {
		return client.Call(t.Context(), p.admin, api.WorkflowShow, api.ShowWorkflow{WorkflowRef: api.WorkflowRef{Workflow: string(w.ID)}})
	}, func(w api.VersionedWorkflow) bool { return w.State.Ended() })

	var in api.ListAudit
	in.Subject = string(w.ID)
	records := must(client.List(t.Context(), p.admin, api.AuditList, in, 0))(t)
	slices.Reverse(records)
	var got []string
	for _, r := range records {
		if r.Kind != sprout.AuditWorkflow || r.Actor != "a operator" || r.Site != site.ID || r.Name != "m1" || r.Request != w.Request {
			t.Errorf("record: %+v", r)
		}
		what, why, _ := strings.Cut(r.Detail, ", attempt 1")
		_, why, _ = strings.Cut(why, "Z: ")
		got = append(got, strings.TrimSuffix(fmt.Sprintf("%s %s, %s: %s", r.Action, r.Outcome, what, why), ": "))
	}
	want := []string{
		"commission accept done, done at the centre: already registered",
		"commission reserve-address done, done at the centre: skipped: it boots by network",
		"commission power-on done, done at the site",
		"commission boot-ramdisk failed, failed at the site: no DISCOVER was seen",
		"commission power-on done, undone at the site",
		"commission commission-at-site failed, failed at the centre: it never asked",
		"commission commission-at-site done, undone at the centre",
		"commission reserve-address done, undone at the centre: skipped: it boots by network",
		"commission accept done, skipped at the centre: nothing to undo",
		"workflow commission failed, failed at commission-at-site: dhcp-no-discover: it never asked",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if at := "begun 2026-01-02T03:04:05.600Z, ended 2026-01-02T03:04:07.100Z"; !strings.Contains(records[2].Detail, at) {
		t.Errorf("%q does not say %q", records[1].Detail, at)
	}
	if check := must(client.Call(t.Context(), p.admin, api.AuditVerify, api.VerifyAudit{}))(t); !check.Intact {
		t.Error(check.Reason)
	}
}
