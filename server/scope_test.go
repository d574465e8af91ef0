package server_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/api"
	"sprout/client"
)

// There are two sites; the bearer is an administrator of one. Whatever operation
// it calls on the other one finds nothing there, lists hold nothing of it, and
// what reaches beyond one site is denied and audited. Every operation that there
// is must be listed here.
func TestATokenOfOneSiteSeesAndChangesOnlyThat(t *testing.T) {
	p := run(t)
	for _, name := range []string{"lon1", "par1"} {
		must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed(name)))(t)
		p.machine(t, name, "m-"+name, "52:54:00:00:00:21")
		var in api.CreateNetwork
		in.Body.Site, in.Body.Name, in.Body.CIDR = name, "n-"+name, "10.0.0.0/24"
		must(client.Call(t.Context(), p.admin, api.NetworkCreate, in))(t)
	}
	f := enrol(t, p, "par1")
	if err := f.bus.PublishBeat(sprout.Heartbeat{Agent: f.enrol.Agent.ID, Version: "test", Address: "10.20.0.1", At: time.Now(), Troubles: []sprout.Trouble{{Code: sprout.DiskFull, Reason: "full"}}}); err != nil {
		t.Fatal(err)
	}
	wrong := p.awaitProblem(t, sprout.DiskFull)
	theirs := must(client.Call(t.Context(), p.admin, api.MachineCommission, api.CommissionMachine{MachineRef: api.MachineRef{Machine: "m-par1"}}))(t)
	var record api.CreateDNSRecord
	record.Body.Site, record.Body.Name, record.Body.Type, record.Body.Data = "par1", "theirs", "TXT", "x"
	theirRecord := must(client.Call(t.Context(), p.admin, api.DNSRecordCreate, record))(t)
	var option api.SetDHCPOption
	option.Body.Site, option.Body.Option, option.Body.Value = "par1", "pcode", "UTC"
	theirOption := must(client.Call(t.Context(), p.admin, api.DHCPOptionSet, option))(t)
	var waits api.CreateAllocation
	waits.Body.Site, waits.Body.Queue, waits.Body.Count = "par1", true, 9
	theirAllocation := must(client.Call(t.Context(), p.admin, api.AllocationCreate, waits))(t)
	var in api.CreateToken
	in.Body.Name, in.Body.Role, in.Body.Sites = "theirs", sprout.Viewer, []string{"par1"}
	must(client.Call(t.Context(), p.admin, api.TokenCreate, in))(t)
	in.Body.Name, in.Body.Role, in.Body.Sites = "ours", sprout.Admin, []string{"lon1"}
	made := must(client.Call(t.Context(), p.admin, api.TokenCreate, in))(t)
	if made.Sites.Only() == "" {
		t.Fatal("the token is good for every site")
	}

	const missing, denied, unseen, anyone = 404, 403, 200, 0
	machine := `{"site":"par1","name":"x","macs":["52:54:00:00:00:31"]}`
	want := map[string]struct {
		status int
		body   string
	}{
		"site create": {denied, `{"name":"x"}`}, "site list": {unseen, ""}, "site show": {missing, ""}, "site delete": {missing, ""},
		"agent list": {unseen, ""}, "agent show": {missing, ""}, "agent delete": {missing, ""},
		"agent token create": {missing, `{"site":"par1"}`}, "agent enrol": {anyone, ""}, "login show": {anyone, ""}, "login create": {anyone, ""},
		"network create": {missing, `{"site":"par1","name":"x","cidr":"10.9.0.0/24"}`}, "network list": {unseen, ""}, "network show": {missing, ""},
		"network delete": {missing, ""}, "address list": {unseen, ""},
		"address allocate": {missing, `{"subnet":"par1/n-par1"}`}, "address hold": {missing, `{"subnet":"par1/n-par1","seconds":60}`}, "address show": {missing, ""}, "address release": {missing, ""}, "address probe": {missing, ""}, "lease list": {unseen, ""}, "dhcp explain": {missing, ""},
		"dhcp option set": {missing, `{"site":"par1","option":"pcode","value":"x"}`}, "dhcp option list": {unseen, ""}, "dhcp option show": {missing, ""}, "dhcp option unset": {missing, ""},
		"dns record create": {missing, `{"site":"par1","name":"x","type":"TXT","data":"x"}`}, "dns record list": {unseen, ""}, "dns record show": {missing, ""}, "dns record delete": {missing, ""},
		"dns key create": {missing, `{"name":"x"}`}, "dns key list": {missing, ""}, "dns key show": {missing, ""}, "dns key delete": {missing, ""}, "dns policy show": {missing, ""}, "dns policy set": {missing, `{}`},
		"network update": {missing, `{"mtu":1400}`},
		"subnet create":  {missing, `{"network":"n-par1","cidr":"10.9.1.0/24"}`}, "subnet next": {missing, ""}, "subnet list": {unseen, ""}, "subnet show": {missing, ""},
		"subnet update": {missing, `{"domain":"x"}`}, "subnet delete": {missing, ""}, "range create": {missing, `{"kind":"reserved","range":"10.9.0.9"}`},
		"range update": {missing, `{"kind":"reserved"}`}, "range delete": {missing, ""},
		"machine create": {missing, machine}, "machine import": {missing, `{"machines":[` + machine + `]}`}, "machine list": {unseen, ""},
		"machine network show": {missing, ""}, "machine hardware show": {missing, ""}, "machine hardware accept": {missing, ""}, "machine network set": {missing, `{"interfaces":[]}`},
		"machine show": {missing, ""}, "machine update": {missing, `{"pool":"x"}`}, "machine delete": {missing, ""}, "machine accept": {missing, ""},
		"machine commission": {missing, `{}`}, "machine allocate": {missing, `{"site":"par1"}`}, "machine deploy": {missing, `{"image":"x"}`},
		"machine release": {missing, `{}`}, "machine rescue": {missing, `{"sshKeys":["ssh-ed25519 AAAA"]}`}, "machine unrescue": {missing, ""}, "machine mark-broken": {missing, `{"reason":"x"}`}, "machine mark-fixed": {missing, `{"reason":"x"}`}, "machine retire": {missing, `{"reason":"x"}`},
		"machine bulk": {missing, `{"action":"lock","select":{"site":"par1"}}`}, "machine lock": {missing, ""}, "machine unlock": {missing, ""}, "machine history": {missing, ""},
		"allocation create": {missing, `{"site":"par1"}`}, "allocation list": {unseen, ""}, "allocation show": {missing, ""}, "allocation extend": {missing, `{"for":60}`}, "allocation cancel": {missing, ""},
		"bmc crawl":   {missing, `{"site":"par1","addresses":["10.0.5.1"],"plan":true}`},
		"rule create": {denied, `{"name":"x","match":{}}`}, "rule try": {denied, `{"name":"x","match":{}}`}, "rule list": {denied, ""}, "rule show": {denied, ""}, "rule set": {denied, `{"priority":1}`}, "rule delete": {denied, ""}, "rule run": {denied, `{}`}, "rule explain": {denied, ""},
		"quota set": {denied, `{"machines":5}`}, "quota list": {denied, ""}, "quota show": {denied, ""}, "quota delete": {denied, ""},
		"boot list": {missing, ""}, "boot show": {missing, ""}, "machine explain": {missing, ""}, "machine console": {missing, ""}, "machine console type": {missing, `{"view":"none","at":0,"keys":"Ag=="}`},
		"image import": {denied, ""}, "image fetch": {denied, `{"url":"http://127.0.0.1:1/x","unverified":true}`}, "image list": {unseen, ""}, "image show": {anyone, ""}, "image delete": {denied, ""}, "image content": {anyone, ""}, "image prune": {denied, `{"plan":true}`},
		"image alias set": {denied, `{"image":"x"}`}, "image alias list": {unseen, ""}, "image alias show": {anyone, ""}, "image alias delete": {denied, ""},
		"test add": {denied, ""}, "test list": {anyone, ""}, "test show": {anyone, ""}, "test delete": {denied, ""}, "test content": {anyone, ""}, "test history": {unseen, ""}, "test fleet": {missing, ""},
		"model list": {unseen, ""}, "model show": {missing, ""}, "model set": {denied, `{"limits":{"phone-home":60}}`},
		"workflow list": {unseen, ""}, "workflow show": {missing, ""}, "workflow retry": {missing, ""}, "workflow cancel": {missing, ""},
		"workflow explain": {missing, ""},
		"problem list":     {unseen, ""}, "problem show": {missing, ""}, "audit list": {unseen, ""}, "audit show": {missing, ""}, "audit verify": {denied, ""},
		"audit export": {anyone, ""}, // lines, no document: audit_export_test.go looks at it
		"token create": {missing, `{"name":"x","role":"viewer","sites":["par1"]}`}, "token whoami": {unseen, ""}, "token list": {unseen, ""}, "token revoke": {missing, ""},
		"provider list": {unseen, ""},
		"events":        {anyone, ""}, // never ends: watch_test.go looks at it
	}
	named := strings.NewReplacer("{allocation}", string(theirAllocation.ID), "{quota}", "x", "{rule}", "x", "{alias}", "x", "{site}", "par1", "{agent}", "par1", "{network}", "n-par1", "{range}", "10.0.0.200", "{subnet}", "par1%2F10.0.0.0%2F24", "{address}", "10.1.0.9", "{machine}", "m-par1", "{image}", "x", "{workflow}", string(theirs.ID), "{token}", "theirs", "{attempt}", "x", "{model}", "x", "{test}", "x", "{record}", "1", "{dnsrecord}", string(theirRecord.ID), "{dhcpoption}", string(theirOption.ID), "{dnskey}", "par1%2Ftheirs", "{problem}", string(wrong.ID))
	refused := map[string]bool{} // ids of requests
	for _, op := range api.Operations() {
		s := op.Spec()
		w, known := want[s.Name]
		switch {
		case !known:
			t.Errorf("nobody has said what %q does for a token of one site", s.Name)
		case w.status == anyone:
		case w.status == unseen:
			path := s.Path
			if s.Name == "audit list" {
				path += "?outcome=done" // what was refused is told in the bearer's own words
			}
			if got := p.text(t, made.Secret, path); strings.Contains(got, "par1") || strings.Contains(got, string(theirs.Site)) {
				t.Errorf("%s shows what is at the other site: %s", s.Name, got)
			}
			for _, there := range []string{"?site=par1", "?site=" + string(theirs.Site), "?machine=m-par1"} {
				answer, fault := p.ask(t, "GET", s.Path+there, made.Secret, "")
				if answer.status != missing && answer.status != 422 {
					t.Errorf("%s%s answers %d %+v", s.Name, there, answer.status, fault)
				}
				refused[fault.Request] = answer.status == missing
			}
		default:
			answer, fault := p.ask(t, s.Method, named.Replace(s.Path), made.Secret, w.body)
			if answer.status != w.status {
				t.Errorf("%s answers %d %+v", s.Name, answer.status, fault)
			}
			refused[fault.Request] = true
		}
	}
	for _, r := range must(client.List(t.Context(), p.as(t, made.Secret), api.AuditList, api.ListAudit{}, 0))(t) {
		if r.Outcome == "refused" && refused[r.Request] && r.Site == made.Sites.Only() {
			delete(refused, r.Request)
		}
	}
	for id, recorded := range refused {
		if recorded {
			t.Errorf("the refusal %s is not in the audit", id)
		}
	}
	for path, want := range map[string]string{"/v1/machines": "m-lon1", "/v1/networks": "n-lon1", "/v1/sites": "lon1", "/v1/tokens": "ours"} {
		if got := p.text(t, made.Secret, path); !strings.Contains(got, want) {
			t.Errorf("%s does not show its own site: %s", path, got)
		}
	}
	in.Body.Name, in.Body.Sites = "child", nil
	if child := must(client.Call(t.Context(), p.as(t, made.Secret), api.TokenCreate, in))(t); child.Sites.Only() != made.Sites.Only() {
		t.Errorf("a token of one site made one of %q", child.Sites)
	}
}

// text returns the answer of a list.
func (p plane) text(t *testing.T, token, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", p.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close() // read to its end
	raw, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 200 || !json.Valid(raw) {
		t.Fatalf("%s: %d %s, %v", path, answer.StatusCode, raw, err)
	}
	return string(raw)
}
