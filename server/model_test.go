package server_test

import (
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/api"
	"sprout/client"
)

// An operator sets how long a step may take on a model. Work that is started
// then carries it to the site, and the explanation says whose word it is.
func TestLimitsOfAModel(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	f := enrol(t, p, "lon1")
	mac := "52:54:00:00:00:11"
	m := p.machine(t, "lon1", "m1", mac)
	inv := inventory(mac)
	inv.Vendor, inv.Model, inv.MemoryBytes = "HPE", "ProLiant DL380", 3<<40
	f.report(sprout.FactInventory, m.ID, "", inv)
	list := func() ([]sprout.Model, error) {
		return client.List(t.Context(), p.admin, api.ModelList, api.Paging{}, 0)
	}
	eventually(t, list, func(l []sprout.Model) bool { return len(l) == 1 && l[0].Machines == 1 })
	set := func(ref string, limits map[string]int64) (api.ModelReport, error) {
		var in api.SetModel
		in.Model, in.Body.Limits = ref, limits
		return client.Call(t.Context(), p.admin, api.ModelSet, in)
	}
	for ref, limits := range map[string]map[string]int64{
		"ProLiant DL380": {"boot-ramdsk": 1500}, "ProLiant": {"phone-home": 59}, "HPE ProLiant DL380": {"phone-home": 1e9}, "Pro": {"phone-home": -1},
	} {
		if _, err := set(ref, limits); sprout.KindOf(err) != sprout.Invalid {
			t.Errorf("%s set to %v: %v", ref, limits, err)
		}
	}
	if _, err := set("PowerEdge", map[string]int64{"phone-home": 60}); sprout.KindOf(err) != sprout.NotFound {
		t.Errorf("of a model that is not there: %v", err)
	}
	limitOf := func(report api.ModelReport, workflow, step string) (l sprout.StepLimit) {
		for _, s := range report.Steps {
			if s.Workflow == workflow && s.Step == step {
				l = s.StepLimit
			}
		}
		return l
	}
	report := must(set("ProLiant DL380", map[string]int64{"boot-ramdisk": 1500, "phone-home": 0}))(t)
	if l := limitOf(report, "commission", "boot-ramdisk"); l.Seconds != 1500 || l.From != sprout.LimitSet || !strings.Contains(l.Why, "set by") {
		t.Errorf("set is %+v", l)
	}
	if l := limitOf(report, "deploy", "phone-home"); l.From != sprout.LimitSize || l.Duration() != 54*time.Minute {
		t.Errorf("of 3 TiB of memory: %+v", l)
	}

	var in api.CommissionMachine
	in.Machine = "m1"
	w := must(client.Call(t.Context(), p.admin, api.MachineCommission, in))(t)
	work := f.await(func(c sprout.Change) bool { return c.Kind == sprout.ChangeWork && c.Key == string(w.ID)+"/1" })
	if !strings.Contains(string(work.Body), `"from":"set","step":"boot-ramdisk","seconds":1500`) {
		t.Errorf("the site was told %s", work.Body)
	}
	must(set("ProLiant DL380", map[string]int64{"boot-ramdisk": 0}))(t) // for later work
	began := time.Now().UTC()
	f.report(sprout.FactStep, m.ID, work.Key, sprout.StepRecord{Name: "boot-ramdisk", At: "site", Attempt: 1, Outcome: "running", StartedAt: began})
	explain := func() (api.Explanation, error) {
		return client.Call(t.Context(), p.admin, api.MachineExplain, api.MachineRef{Machine: "m1"})
	}
	x := eventually(t, explain, func(x api.Explanation) bool { return x.Limit != nil && x.Limit.Step == "boot-ramdisk" })
	if x.Limit.Seconds != 1500 || x.Workflow.Until == nil || x.Workflow.Until.Sub(began.Add(25*time.Minute)).Abs() > time.Second {
		t.Errorf("limit %+v, until %v", x.Limit, x.Workflow.Until)
	}
	found := false
	for _, r := range must(client.List(t.Context(), p.admin, api.AuditList, api.ListAudit{}, 0))(t) {
		found = found || r.Action == "model set" && r.Name == "HPE ProLiant DL380" && strings.Contains(r.Detail, "boot-ramdisk 25m0s, was not set")
	}
	if !found {
		t.Error("the audit does not tell of the limit")
	}
}
