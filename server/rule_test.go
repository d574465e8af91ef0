package server_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/client"
	"sprout/server"
	"sprout/store/storetest"
)

// newRule makes a rule that takes machines of at least so many cores.
func newRule(name string, priority, cores int, names string) api.CreateRule {
	var in api.CreateRule
	in.Body.Name, in.Body.Priority, in.Body.MachineName = name, priority, names
	in.Body.Match.MinCores = cores
	return in
}

// A machine is taken by the first rule that it meets as its inventory arrives, with all
// that the rule gives, and is commissioned; the password is nowhere shown.
func TestARuleTakesAMachineAsItIsDiscovered(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	f := enrol(t, p, "lon1")
	must(client.Call(t.Context(), p.admin, api.RuleCreate, newRule("large", 20, 64, "large-{serial}")))(t)
	in := newRule("lab", 10, 2, "lab-{serial}")
	in.Body.Match.Site, in.Body.Match.Subnet = "lon1", "10.0.0.0/24"
	in.Body.Tags, in.Body.Pool, in.Body.Commission = []string{"lab"}, "lab", true
	in.Body.BMC = &sprout.BMC{Driver: "redfish", URL: "http://{serial}.bmc.example", Username: "admin", Password: "hunter2-of-rules"}
	made := must(client.Call(t.Context(), p.admin, api.RuleCreate, in))(t)
	if raw, _ := json.Marshal(made); strings.Contains(string(raw), "hunter2") {
		t.Errorf("the password is shown: %s", raw)
	}
	must(client.Call(t.Context(), p.admin, api.RuleCreate, newRule("late", 10, 0, "late-{counter}")))(t)

	mac := "52:54:00:00:00:01"
	f.report(sprout.FactDiscovered, "", "", sprout.DiscoveredFact{BootMAC: mac, IP: netip.MustParseAddr("10.0.0.100"), Inventory: inventory(mac)})
	m := eventually(t, show(t, p, "lab-sn-01"), func(m sprout.Machine) bool { return m.State == sprout.Registered })
	if m.Pool != "lab" || strings.Join(m.Tags, " ") != "lab" || m.BMC == nil || m.BMC.URL != "http://sn-01.bmc.example" || m.BMC.Username != "admin" || m.BMC.Password != "" {
		t.Errorf("it is %+v with the BMC %+v", m, m.BMC)
	}
	if work := f.awaitWork("commission"); work.Machine != m.ID {
		t.Errorf("work: %+v", work)
	}
	other := "52:54:00:00:00:02" // at no address: only the youngest rule takes it
	f.report(sprout.FactDiscovered, "", "", sprout.DiscoveredFact{BootMAC: other, Inventory: inventory(other)})
	eventually(t, show(t, p, "late-1"), func(m sprout.Machine) bool { return m.State == sprout.Registered })

	x := must(client.Call(t.Context(), p.admin, api.RuleExplain, api.MachineRef{Machine: "late-1"}))(t)
	if x.TakenBy != "late" || len(x.Rules) != 3 || x.Rules[0].Rule != "large" || x.Rules[1].Rule != "lab" {
		t.Fatalf("explained: %+v", x)
	}
	if said := fmt.Sprint(x.Rules[0].Lacks); !strings.Contains(said, "cores at least 64") || !strings.Contains(said, "cores: 4") {
		t.Errorf("of the first: %s", said)
	}
	if said := fmt.Sprint(x.Rules[1].Lacks); !strings.Contains(said, "subnet 10.0.0.0/24") {
		t.Errorf("of the second: %s", said)
	}
	records := must(client.List(t.Context(), p.admin, api.AuditList, api.ListAudit{AuditFilter: api.AuditFilter{Subject: string(m.ID)}}, 0))(t)
	if said := fmt.Sprint(records); !strings.Contains(said, "accepted by rule lab") || strings.Contains(said, "hunter2") {
		t.Errorf("the audit says %s", said)
	}
}

// A machine that its rule cannot name waits, with a problem that says why, until the
// rule is mended and run; a rule that is made takes nothing that waits already.
func TestAMachineWaitsThatItsRuleCannotName(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	f := enrol(t, p, "lon1")
	report := func(mac string) {
		f.report(sprout.FactDiscovered, "", "", sprout.DiscoveredFact{BootMAC: mac, Inventory: inventory(mac)})
	}
	report("52:54:00:00:00:01")
	waits := eventually(t, show(t, p, "new-sn01"), func(m sprout.Machine) bool { return m.State == sprout.Discovered })
	round := must(client.Call(t.Context(), p.admin, api.RuleTry, newRule("one", 0, 2, "node")))(t)
	if round.Waiting != 1 || len(round.Items) != 1 || round.Items[0].Outcome != "would-take" || round.Items[0].As != "node" {
		t.Errorf("tried: %+v", round)
	}
	must(client.Call(t.Context(), p.admin, api.RuleCreate, newRule("one", 0, 2, "node")))(t)
	report("52:54:00:00:00:02")
	eventually(t, show(t, p, "node"), func(m sprout.Machine) bool { return m.State == sprout.Registered })
	if now := must(show(t, p, "new-sn01")())(t); now.State != sprout.Discovered {
		t.Errorf("the rule took %s, which waited", now.Name)
	}
	report("52:54:00:00:00:03")
	wrong := p.awaitProblem(t, sprout.RuleRefused)
	if wrong.Name != "new-sn03" || !strings.Contains(wrong.Reason, "another machine of site lon1 is called so") {
		t.Errorf("the problem is %+v", wrong)
	}
	var change api.SetRule
	change.Rule, change.Body.MachineName = "one", new("node-{counter}")
	must(client.Call(t.Context(), p.admin, api.RuleSet, change))(t)
	round = must(client.Call(t.Context(), p.admin, api.RuleRun, api.RunRule{RuleRef: api.RuleRef{Rule: "one"}}))(t)
	if len(round.Items) != 2 || round.Items[0].Machine != waits.ID || round.Items[0].As != "node-2" || round.Items[1].As != "node-3" || round.Items[1].Outcome != "taken" {
		t.Fatalf("run: %+v", round)
	}
	now := must(show(t, p, "node-3")())(t)
	if now.State != sprout.Registered || len(now.Problems) != 0 {
		t.Errorf("it is %s, with %+v", now.State, now.Problems)
	}
	if r := must(client.Call(t.Context(), p.admin, api.RuleShow, api.RuleRef{Rule: "one"}))(t); r.Taken != 3 {
		t.Errorf("the rule has taken %d", r.Taken)
	}
}

// However many machines wait before it that no rule takes, one that a rule takes is
// found.
func TestARuleIsAskedAboutAllThatWait(t *testing.T) {
	url := storetest.NewURL(t)
	p := run(t, func(c *server.Config) { c.Database.URL = url })
	site := must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	db := must(pgx.Connect(t.Context(), url))(t)
	t.Cleanup(func() { _ = db.Close(t.Context()) })
	const before = 1001
	must(db.Exec(t.Context(), `INSERT INTO machine (site, id, name, state, pool)
		SELECT $1, 'mch_' || lpad(n::text, 26, '0'), 'a' || lpad(n::text, 5, '0'), 'discovered', CASE WHEN n > $2 THEN 'lab' ELSE '' END FROM generate_series(1, $2::int + 1) n`, site.ID, before))(t)
	in := newRule("lab", 0, 0, "lab-1")
	in.Body.Match.Pool = "lab"
	round := must(client.Call(t.Context(), p.admin, api.RuleTry, in))(t)
	if round.Waiting != before+1 || len(round.Items) != 1 || round.Items[0].Name != "a01002" || round.Items[0].As != "lab-1" {
		t.Errorf("tried: %d of %d: %+v", len(round.Items), round.Waiting, round.Items)
	}
	must(client.Call(t.Context(), p.admin, api.RuleCreate, in))(t)
	round = must(client.Call(t.Context(), p.admin, api.RuleRun, api.RunRule{RuleRef: api.RuleRef{Rule: "lab"}}))(t)
	if len(round.Items) != 1 || round.Items[0].Outcome != "taken" {
		t.Fatalf("run: %+v", round)
	}
	if m := must(show(t, p, "lab-1")())(t); m.State != sprout.Registered {
		t.Errorf("it is %s", m.State)
	}
}
