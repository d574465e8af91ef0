package server_test

import (
	"fmt"
	"net/http"
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

// populated runs a control plane with one of each noun, and returns how a path
// names them.
func populated(t *testing.T, change ...func(*server.Config)) (plane, *strings.Replacer, *pgx.Conn) {
	t.Helper()
	url := storetest.NewURL(t)
	p := run(t, append(change, func(c *server.Config) { c.Database.URL = url })...)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	p.machine(t, "lon1", "m1", "52:54:00:00:00:21")
	p.machine(t, "lon1", "m2", "52:54:00:00:00:22")
	var in api.CreateNetwork
	in.Body.Site, in.Body.Name, in.Body.CIDR = "lon1", "n1", "10.0.0.0/24"
	must(client.Call(t.Context(), p.admin, api.NetworkCreate, in))(t)
	var address api.AllocateAddress
	address.Body.Subnet, address.Body.IP = "n1", "10.0.0.9"
	must(client.Call(t.Context(), p.admin, api.AddressAllocate, address))(t)
	enrol(t, p, "lon1")
	var record api.CreateDNSRecord
	record.Body.Site, record.Body.Name, record.Body.Type, record.Body.Data = "lon1", "r1", "TXT", "x"
	r1 := must(client.Call(t.Context(), p.admin, api.DNSRecordCreate, record))(t)
	var key api.CreateDNSKey
	key.Site, key.Body.Name = "lon1", "k1"
	must(client.Call(t.Context(), p.admin, api.DNSKeyCreate, key))(t)
	var option api.SetDHCPOption
	option.Body.Site, option.Body.Option, option.Body.Value = "lon1", "pcode", "UTC"
	o1 := must(client.Call(t.Context(), p.admin, api.DHCPOptionSet, option))(t)
	var quota api.SetQuota
	quota.Owner, quota.Body.Machines = "shop", 5
	must(client.Call(t.Context(), p.admin, api.QuotaSet, quota))(t)
	var rule api.CreateRule
	rule.Body.Name, rule.Body.Match.Pool = "r1", "none"
	must(client.Call(t.Context(), p.admin, api.RuleCreate, rule))(t)
	var waits api.CreateAllocation
	waits.Body.Site, waits.Body.Owner, waits.Body.Queue = "lon1", "shop", true
	a1 := must(client.Call(t.Context(), p.admin, api.AllocationCreate, waits))(t)
	raw := strings.Repeat("x", 4096)
	for _, name := range []string{"i0", "i1"} {
		must(p.admin.ImportImage(t.Context(), api.ImportImage{Name: name, Content: strings.NewReader(raw)}, int64(len(raw))))(t)
	}
	var alias api.SetImageAlias
	alias.Alias, alias.Body.Image = "stable", "i0"
	must(client.Call(t.Context(), p.admin, api.ImageAliasSet, alias))(t)
	w := must(client.Call(t.Context(), p.admin, api.MachineCommission, api.CommissionMachine{MachineRef: api.MachineRef{Machine: "m2"}}))(t)
	db, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(t.Context()) })
	if _, err := db.Exec(t.Context(), `UPDATE machine SET inventory = '{"vendor":"Acme","model":"R1","disks":[]}' WHERE name = 'm2'`); err != nil {
		t.Fatal(err)
	}
	const problem = "prb_00000000000000000000000001"
	if _, err := db.Exec(t.Context(), `INSERT INTO problem (id, site, subject, name, code, severity, reason, cleared_at)
		SELECT $1, id, 'agt_0', name, 'disk-full', 'critical', 'full', now() FROM site WHERE name = 'lon1'`, problem); err != nil {
		t.Fatal(err)
	}
	return p, strings.NewReplacer("{allocation}", string(a1.ID), "{quota}", "shop", "{rule}", "r1", "{alias}", "stable", "{model}", "R1", "{test}", "disk-read", "{record}", "1", "{dnsrecord}", string(r1.ID), "{dhcpoption}", string(o1.ID), "{dnskey}", "lon1%2Fk1", "{site}", "lon1", "{agent}", "lon1", "{network}", "n1", "{range}", "10.0.0.200", "{subnet}", "10.0.0.0%2F24", "{address}", "10.0.0.9", "{machine}", "m1", "{image}", "i1",
		"{workflow}", string(w.ID), "{token}", "admin", "{attempt}", "latest", "{problem}", problem), db
}

// Whatever is shown has a strong entity tag, and is not sent again to who has it.
func TestEveryAnswerOfAGetHasATag(t *testing.T) {
	p, named, _ := populated(t)
	for _, op := range api.Operations() {
		s := op.Spec()
		if s.Method != "GET" || s.Stream || s.Name == "audit export" || s.Name == "boot show" || strings.HasSuffix(s.Name, "explain") {
			continue // streams have no whole; no boot was seen here; an explanation is of its instant
		}
		path := named.Replace(s.Path)
		if s.Name == "subnet next" {
			path += "?from=10.0.0.0/8&prefix=26"
		}
		answer, body, _ := p.exchange(t, "GET", path, "", nil)
		tag := answer.Header.Get("ETag")
		if answer.StatusCode != 200 || len(tag) < 10 || tag[0] != '"' {
			t.Errorf("%s answers %d with the tag %q: %.200s", s.Name, answer.StatusCode, tag, body)
			continue
		}
		if strings.Contains(body, `"running"`) || strings.HasPrefix(s.Name, "agent ") {
			continue // it changes by itself meanwhile
		}
		answer, body, _ = p.exchange(t, "GET", path, "", map[string]string{"If-None-Match": `"x", W/` + tag})
		if answer.StatusCode != 304 || body != "" || answer.Header.Get("ETag") != tag {
			t.Errorf("%s answers %d with the tag %q to who has %q: %q", s.Name, answer.StatusCode, answer.Header.Get("ETag"), tag, body)
		}
	}
	if answer, _, _ := p.exchange(t, "GET", "/v1/sites/lon1", "", map[string]string{"If-None-Match": `"x"`}); answer.StatusCode != 200 {
		t.Errorf("who has another is answered %d", answer.StatusCode)
	}
}

// Every operation that changes one resource refuses who has not seen what it is
// now, and says so; nothing is changed.
func TestEveryChangeHoldsToIfMatch(t *testing.T) {
	p, named, _ := populated(t)
	bodies := map[string]string{"image fetch": `{"url":"http://127.0.0.1:1/x","unverified":true}`, "machine update": `{"pool":"x"}`, "machine rescue": `{"sshKeys":["ssh-ed25519 AAAA"]}`, "machine deploy": `{"image":"i1"}`, "allocation extend": `{"for":60}`, "quota set": `{"machines":6}`, "rule set": `{"priority":6}`, "image alias set": `{"image":"i1"}`, "machine network set": `{"interfaces":[]}`, "machine console type": `{"view":"none","at":0,"keys":"Ag=="}`, "model set": `{"limits":{"boot-ramdisk":600}}`,
		"dns key create": `{"name":"k9"}`, "range create": `{"kind":"reserved","range":"10.0.0.9"}`}
	_, before, _ := p.exchange(t, "GET", "/v1/machines/m1", "", nil)
	tried := 0
	for _, op := range api.Operations() {
		s := op.Spec()
		if s.Method == "GET" || s.Resource() == "" {
			continue
		}
		body, special := bodies[s.Name]
		if !special && s.Body {
			body = "{}"
		}
		tried++
		for _, tag := range []string{`"99-0011223344556677"`, `"99"`, `W/"1"`, `1`} { // none has so many revisions
			answer, said, fault := p.exchange(t, s.Method, named.Replace(s.Path), body, map[string]string{"If-Match": tag})
			if answer.StatusCode != 412 || fault.Field != "If-Match" || fault.Remedy == "" {
				t.Errorf("%s with If-Match %s answers %d %s", s.Name, tag, answer.StatusCode, said)
			}
		}
	}
	if tried < 15 {
		t.Errorf("only %d operations were tried", tried)
	}
	p.exchange(t, "DELETE", "/v1/addresses/10.0.0.9", "", nil) // what is in use stays
	for _, path := range []string{"/v1/networks/n1", "/v1/images/i1", "/v1/agents/lon1"} {
		answer, _, _ := p.exchange(t, "GET", path, "", nil)
		if answer, said, _ := p.exchange(t, "DELETE", path, "", map[string]string{"If-Match": answer.Header.Get("ETag")}); answer.StatusCode != 204 {
			t.Errorf("who has seen %s may not delete it: %d %s", path, answer.StatusCode, said)
		}
	}
	if answer, said, _ := p.exchange(t, "POST", "/v1/sites", `{"name":"par1"}`, map[string]string{"If-Match": `"1"`}); answer.StatusCode != 412 {
		t.Errorf("what makes something new answers %d %s", answer.StatusCode, said)
	}
	if _, after, _ := p.exchange(t, "GET", "/v1/machines/m1", "", nil); after != before {
		t.Errorf("what was refused changed the machine: %s, before %s", after, before)
	}
}

// Of editors that saw the same, one wins, at whatever moment they come.
func TestTwoEditorsCannotBothWin(t *testing.T) {
	p, _, _ := populated(t)
	for round := range 5 {
		answer, _, _ := p.exchange(t, "GET", "/v1/machines/m1", "", nil)
		tag := answer.Header.Get("ETag")
		var wait sync.WaitGroup
		var mu sync.Mutex
		statuses := map[int]int{}
		for i := range 8 {
			wait.Go(func() {
				answer, said, fault := p.exchange(t, "PATCH", "/v1/machines/m1", fmt.Sprintf(`{"pool":"%d-%d"}`, round, i), map[string]string{"If-Match": tag})
				if answer.StatusCode == 412 && !strings.Contains(fault.Detail, "last by admin, machine update at") {
					t.Errorf("it does not say what changed: %s", said)
				}
				mu.Lock()
				defer mu.Unlock()
				statuses[answer.StatusCode]++
			})
		}
		wait.Wait()
		if statuses[200] != 1 || statuses[412] != 7 {
			t.Fatalf("round %d: %v", round, statuses)
		}
	}
}

// A measurement makes a new answer, but voids no decision; a decision does, and
// what the change answers is the next tag.
func TestAMeasurementVoidsNoDecision(t *testing.T) {
	p, _, db := populated(t)
	tag := func() string {
		answer, _, _ := p.exchange(t, "GET", "/v1/machines/m1", "", nil)
		return answer.Header.Get("ETag")
	}
	before := tag()
	if _, err := db.Exec(t.Context(), `UPDATE machine SET power = 'on', power_at = now() WHERE name = 'm1'`); err != nil {
		t.Fatal(err)
	}
	if tag() == before {
		t.Error("the tag is that of another answer")
	}
	answer, said, _ := p.exchange(t, "PATCH", "/v1/machines/m1", `{"zone":"a"}`, map[string]string{"If-Match": before})
	next := answer.Header.Get("ETag")
	if answer.StatusCode != 200 || next != tag() {
		t.Fatalf("%d %q: %s", answer.StatusCode, next, said)
	}
	m := must(client.Call(t.Context(), p.admin, api.MachineShow, api.MachineRef{Machine: "m1"}))(t)
	if _, err := client.Call(client.IfMatch(t.Context(), `"`+m.Revision()+`"`), p.admin, api.MachineLock, api.MachineRef{Machine: "m1"}); err != nil {
		t.Error("the revision alone will not do:", err)
	}
	var in api.UpdateMachine
	in.Machine, in.Body.BMC = "m1", &sprout.BMC{Driver: "redfish", URL: "http://127.0.0.1:2", Username: "u", Password: "p"}
	seen := tag()
	must(client.Call(t.Context(), p.admin, api.MachineUpdate, in))(t)
	if answer, _, _ := p.exchange(t, "DELETE", "/v1/machines/m1", "", map[string]string{"If-Match": seen}); answer.StatusCode != http.StatusPreconditionFailed {
		t.Errorf("another BMC voids nothing: %d", answer.StatusCode)
	}
	must(client.Call(t.Context(), p.admin, api.MachineUnlock, api.MachineRef{Machine: "m1"}))(t)
	if answer, said, _ := p.exchange(t, "DELETE", "/v1/machines/m1", "", map[string]string{"If-Match": `"x", ` + tag()}); answer.StatusCode != http.StatusNoContent {
		t.Errorf("%d %s", answer.StatusCode, said)
	}
}
