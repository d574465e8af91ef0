package server_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"sprout"
	"sprout/api"
	"sprout/client"
)

// A yard is a control plane with a site whose agent finds BMCs.
type yard struct {
	plane
	far *far

	mu    sync.Mutex
	found map[string]sprout.FoundBMC // by address
	asked []sprout.CrawlQuestion
}

func newYard(t *testing.T) *yard {
	t.Helper()
	y := &yard{plane: run(t), found: map[string]sprout.FoundBMC{}}
	must(client.Call(t.Context(), y.admin, api.SiteCreate, siteNamed("lon1")))(t)
	y.far = enrol(t, y.plane, "lon1")
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- y.far.bus.Questions(ctx, y.answer) }()
	t.Cleanup(func() { stop(); <-ended })
	beat := sprout.Heartbeat{Agent: y.far.enrol.Agent.ID, Version: "test", Address: "10.20.0.1", At: time.Now()}
	if err := y.far.bus.PublishBeat(beat); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() (api.SiteReport, error) {
		return client.Call(t.Context(), y.admin, api.SiteShow, api.SiteRef{Site: "lon1"})
	}, func(r api.SiteReport) bool { return r.Agent != nil && r.Agent.Online })
	return y
}

func (y *yard) answer(_ context.Context, question sprout.Question) (any, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	var q sprout.CrawlQuestion
	if err := json.Unmarshal(question.Body, &q); err != nil || question.Kind != sprout.CrawlBMCs {
		return nil, sprout.Errorf(sprout.Invalid, "cannot read %s: %v", question.Kind, err)
	}
	y.asked = append(y.asked, q)
	var out []sprout.FoundBMC
	for _, ip := range q.Addresses {
		f, there := y.found[ip.String()]
		if !there {
			f.State = sprout.BMCSilent
		}
		f.Address = ip
		out = append(out, f)
	}
	return out, nil
}

// crawl asks until every address was looked at.
func (y *yard) crawl(t *testing.T, change func(*api.CrawlBMCs)) (all []sprout.FoundBMC) {
	t.Helper()
	var in api.CrawlBMCs
	in.Body.Site, in.Body.Addresses, in.Body.Username, in.Body.Password = "lon1", []string{"10.0.5.0/26"}, "root", "hunter2-of-crawls"
	change(&in)
	for {
		part := must(client.Call(t.Context(), y.admin, api.BMCCrawl, in))(t)
		if raw, _ := json.Marshal(part); strings.Contains(string(raw), "hunter2") {
			t.Errorf("the password is shown: %s", raw)
		}
		all = append(all, part.Items...)
		if in.Body.After = part.Next; part.Next == "" {
			return all
		}
	}
}

func systemsOf(all []sprout.FoundBMC) (says []string) {
	for _, f := range all {
		for _, s := range f.Systems {
			says = append(says, strings.TrimSpace(string(s.State)+" "+s.MachineName))
		}
	}
	return says
}

// What is found is registered once: planned, done, and known from then on; each node of
// a chassis is a machine of its own.
func TestACrawlRegistersWhatIsNew(t *testing.T) {
	y := newYard(t)
	y.machine(t, "lon1", "web-01", "52:54:00:00:07:01")
	y.found = map[string]sprout.FoundBMC{
		"10.0.5.7": {State: sprout.BMCRead, Driver: "redfish", URL: "https://10.0.5.7", Systems: []sprout.FoundSystem{{ID: "1", Serial: "S7", MACs: []string{"52:54:00:00:07:01"}}}},
		"10.0.5.40": {State: sprout.BMCRead, Driver: "redfish", URL: "https://10.0.5.40", Systems: []sprout.FoundSystem{
			{ID: "Node1", Serial: "C1", MACs: []string{"52:54:00:00:07:02", "52:54:00:00:07:03"}}, {ID: "Node2", Serial: "C2", MACs: []string{"52:54:00:00:07:04"}},
		}},
		"10.0.5.41": {State: sprout.BMCRead, Driver: "ipmi", URL: "ipmi://10.0.5.41", Systems: []sprout.FoundSystem{{Serial: "S9"}}},
		"10.0.5.42": {State: sprout.BMCRefused, Driver: "ipmi", URL: "ipmi://10.0.5.42", Why: "it refuses the user name or password"},
	}
	looked := y.crawl(t, func(*api.CrawlBMCs) {})
	if got := strings.Join(systemsOf(looked), ", "); got != "known web-01, new new-c1, new new-c2, unfit" || len(looked) != 62 {
		t.Errorf("of %d addresses: %s", len(looked), got)
	}
	if len(y.asked) != 2 || y.asked[0].Username != "root" || len(y.asked[0].Secret) == 0 || strings.Contains(string(y.asked[0].Secret), "hunter2") {
		t.Errorf("the agent was asked %+v", y.asked)
	}
	if got := looked[41]; got.Address != netip.MustParseAddr("10.0.5.42") || !strings.Contains(got.Remedy, "sprout bmc crawl lon1 10.0.5.42") {
		t.Errorf("a BMC that refused is %+v", got)
	}
	y.crawl(t, func(in *api.CrawlBMCs) { in.Body.Accept, in.Body.Plan = true, true })
	count := func() int {
		return len(must(client.List(t.Context(), y.admin, api.MachineList, api.ListMachines{}, 0))(t))
	}
	if n := count(); n != 1 {
		t.Errorf("a plan made %d machines of 1", n)
	}
	made := y.crawl(t, func(in *api.CrawlBMCs) { in.Body.Accept, in.Body.MachineName = true, "node-{serial}" })
	if got := strings.Join(systemsOf(made), ", "); got != "known web-01, registered node-c1, registered node-c2, unfit" {
		t.Errorf("registered are %s", got)
	}
	again := y.crawl(t, func(in *api.CrawlBMCs) { in.Body.Accept = true })
	if got := strings.Join(systemsOf(again), ", "); got != "known web-01, known node-c1, known node-c2, unfit" || count() != 3 {
		t.Errorf("a second time: %s, %d machines", got, count())
	}
	node := must(client.Call(t.Context(), y.admin, api.MachineShow, api.MachineRef{Machine: "node-c2"}))(t)
	if node.State != sprout.Registered || node.BMC == nil || node.BMC.System != "Node2" || node.BMC.Username != "root" || node.BMC.URL != "https://10.0.5.40" {
		t.Errorf("the second node is %+v with %+v", node, node.BMC)
	}
}

// A rule's account is used by administrators only, and never with another.
func TestACrawlByARule(t *testing.T) {
	y := newYard(t)
	rule := newRule("lab", 1, 2, "")
	rule.Body.BMC = &sprout.BMC{Driver: "redfish", URL: "https://{serial}.bmc.example", Username: "admin", Password: "hunter2-of-rules"}
	must(client.Call(t.Context(), y.admin, api.RuleCreate, rule))(t)
	var in api.CrawlBMCs
	in.Body.Site, in.Body.Addresses, in.Body.Rule = "lon1", []string{"10.0.5.1"}, "lab"
	if _, err := client.Call(t.Context(), y.as(t, y.bearer(t, sprout.Operator)), api.BMCCrawl, in); sprout.KindOf(err) != sprout.Denied {
		t.Errorf("an operator may: %v", err)
	}
	must(client.Call(t.Context(), y.admin, api.BMCCrawl, in))(t)
	if len(y.asked) != 1 || y.asked[0].Username != "admin" || len(y.asked[0].Secret) == 0 {
		t.Errorf("the agent was asked %+v", y.asked)
	}
	in.Body.Username = "root"
	if _, err := client.Call(t.Context(), y.admin, api.BMCCrawl, in); sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("two accounts at once: %v", err)
	}
}

// A BMC that is not where the machine is driven is a problem with both addresses, until
// it is driven there.
func TestABMCThatIsElsewhereIsAProblem(t *testing.T) {
	y := newYard(t)
	m := y.machine(t, "lon1", "web-01", "52:54:00:00:07:01")
	y.far.report(sprout.FactInventory, m.ID, "", sprout.Inventory{
		Interfaces: []sprout.Interface{{MAC: "52:54:00:00:07:01"}}, BMC: &sprout.HostBMC{Address: netip.MustParseAddr("10.0.5.12"), By: "ipmi"},
	})
	if wrong := y.awaitProblem(t, sprout.BMCElsewhere); !strings.Contains(wrong.Reason, "127.0.0.1") || !strings.Contains(wrong.Reason, "10.0.5.12") {
		t.Errorf("the problem says %q", wrong.Reason)
	}
	var in api.UpdateMachine
	in.Machine, in.Body.BMC = "web-01", &sprout.BMC{Driver: "redfish", URL: "https://10.0.5.12", Username: "u"}
	if now := must(client.Call(t.Context(), y.admin, api.MachineUpdate, in))(t); len(now.Problems) != 0 {
		t.Errorf("it has %+v still", now.Problems)
	}
}

// What a machine's BMC told of itself is shown with the machine, as long as it is that BMC;
// another site's agent has nothing to say about it.
func TestQuirksOfABMCAreShown(t *testing.T) {
	y := newYard(t)
	m := y.machine(t, "lon1", "web-01", "52:54:00:00:07:01")
	told := sprout.BMCFact{URL: m.BMC.URL, BMCAbout: sprout.BMCAbout{
		Vendor: "Supermicro", Model: "X12", Firmware: "1.4", Quirks: []sprout.Quirk{{Name: "usb-cd", Known: "vendor", Does: "starts from UsbCd", Why: "Cd fails"}},
	}}
	must(client.Call(t.Context(), y.admin, api.SiteCreate, siteNamed("par1")))(t)
	other := enrol(t, y.plane, "par1")
	foreign := told
	foreign.Vendor = "foreign"
	other.report(sprout.FactBMC, m.ID, "", foreign)
	y.far.report(sprout.FactBMC, m.ID, "", told)
	got := eventually(t, show(t, y.plane, "web-01"), func(m sprout.Machine) bool { return m.BMCAbout != nil && m.BMCAbout.Vendor == "Supermicro" })
	if a := got.BMCAbout; a.Model != "X12" || a.Firmware != "1.4" || len(a.Quirks) != 1 || a.Quirks[0] != told.Quirks[0] {
		t.Errorf("of the BMC is shown %+v", a)
	}
	var in api.UpdateMachine
	in.Machine, in.Body.BMC = "web-01", &sprout.BMC{Driver: "redfish", URL: "https://10.0.5.12", Username: "u"}
	if now := must(client.Call(t.Context(), y.admin, api.MachineUpdate, in))(t); now.BMCAbout != nil {
		t.Errorf("of another BMC is shown %+v", now.BMCAbout)
	}
}
