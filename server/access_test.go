package server_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/api"
	"sprout/client"
	"sprout/server"
)

// A row says how an operation is asked for something of the site lon1, so that
// nothing comes of it where it is let through: what exists is changed on the
// condition that it is another, and what is to be made exists.
type row struct {
	body  string
	about bool // the body names the site; paths tell by themselves
}

var rows = map[string]row{
	"site create": {body: `{"name":"lon1"}`}, "site list": {}, "site show": {}, "site delete": {},
	"agent list": {}, "agent show": {}, "agent delete": {}, "agent enrol": {body: `{}`}, "agent token create": {body: `{"site":"lon1"}`, about: true},
	"network create": {body: `{"site":"lon1","name":"n1","cidr":"10.0.0.0/24"}`, about: true}, "network list": {}, "network show": {}, "network delete": {},
	"address allocate": {body: `{"subnet":"lon1/n1","ip":"10.0.0.0"}`, about: true}, "address hold": {body: `{"subnet":"lon1/n1","ip":"10.0.0.0","seconds":60}`, about: true},
	"address show": {}, "address release": {}, "address probe": {}, "address list": {}, "lease list": {}, "dhcp explain": {},
	"network update": {body: `{"mtu":1400}`}, "subnet create": {body: `{"network":"n1","cidr":"10.0.0.0/24"}`, about: true}, "subnet next": {}, "subnet list": {}, "subnet show": {},
	"subnet update": {body: `{"domain":"x"}`}, "subnet delete": {}, "range create": {body: `{"kind":"reserved","range":"10.0.0.9"}`},
	"range update": {body: `{"kind":"reserved"}`}, "range delete": {},
	"dhcp option set": {body: `{"site":"lon1","option":"nonsense","value":"x"}`, about: true}, "dhcp option list": {}, "dhcp option show": {}, "dhcp option unset": {},
	"dns record create": {body: `{"site":"lon1","name":"r1","type":"TXT","data":"x"}`, about: true}, "dns record list": {}, "dns record show": {}, "dns record delete": {},
	"dns key create": {body: `{"name":"k1"}`}, "dns key list": {}, "dns key show": {}, "dns key delete": {}, "dns policy show": {}, "dns policy set": {body: `{"transfer":["key:none"]}`},
	"machine create": {body: `{"site":"lon1","name":"m1","macs":["52:54:00:00:00:21"]}`, about: true},
	"machine import": {body: `{"machines":[{"site":"lon1","name":"m1","macs":["52:54:00:00:00:21"]}]}`, about: true},
	"machine list":   {}, "machine show": {}, "machine history": {}, "machine explain": {}, "machine console": {}, "machine console type": {body: `{"view":"none","at":0,"keys":"Ag=="}`}, "machine network show": {}, "machine hardware show": {}, "machine hardware accept": {}, "machine network set": {body: `{"interfaces":[]}`}, "boot list": {}, "boot show": {},
	"machine update": {body: `{"pool":"x"}`}, "machine delete": {}, "machine accept": {}, "machine lock": {}, "machine unlock": {},
	"machine commission": {body: `{}`}, "machine deploy": {body: `{"image":"i1"}`}, "machine release": {body: `{}`}, "machine rescue": {body: `{"sshKeys":["ssh-ed25519 AAAA"]}`}, "machine unrescue": {},
	"machine mark-broken": {body: `{"reason":"x"}`}, "machine mark-fixed": {body: `{"reason":"x"}`}, "machine retire": {body: `{"reason":"x"}`},
	"machine allocate":  {body: `{"site":"lon1","pool":"none"}`, about: true},
	"machine bulk":      {body: `{"action":"lock","select":{"site":"lon1"},"plan":true}`, about: true},
	"allocation create": {body: `{"site":"lon1","pool":"none"}`, about: true}, "allocation list": {}, "allocation show": {}, "allocation extend": {body: `{"for":60}`}, "allocation cancel": {},
	"rule create": {body: `{"name":"r9","match":{"pool":"none"}}`}, "rule try": {body: `{"name":"r8","match":{"pool":"none"}}`}, "rule list": {}, "rule show": {}, "rule set": {body: `{"priority":1}`}, "rule delete": {}, "rule run": {body: `{}`}, "rule explain": {},
	"bmc crawl": {body: `{"site":"lon1","addresses":["10.0.5.1"],"plan":true}`, about: true},
	"quota set": {body: `{"machines":5}`}, "quota list": {}, "quota show": {}, "quota delete": {},
	"test add": {}, "test list": {}, "test show": {}, "test delete": {}, "test content": {}, "test history": {}, "test fleet": {},
	"model list": {}, "model show": {}, "model set": {body: `{"limits":{"phone-home":60}}`},
	"image import": {}, "image fetch": {body: `{"url":"http://127.0.0.1:1/x","unverified":true}`}, "image list": {}, "image show": {}, "image delete": {}, "image content": {}, "image prune": {body: `{"plan":true}`},
	"image alias set": {body: `{"image":"i1"}`}, "image alias list": {}, "image alias show": {}, "image alias delete": {},
	"workflow list": {}, "workflow show": {}, "workflow explain": {}, "workflow retry": {}, "workflow cancel": {},
	"problem list": {}, "problem show": {}, "provider list": {}, "events": {},
	"audit list": {}, "audit show": {}, "audit export": {}, "audit verify": {},
	"token create": {body: `{"name":"admin","role":"viewer","sites":["lon1"]}`, about: true}, "token list": {}, "token whoami": {}, "token revoke": {},
	"login show": {}, "login create": {body: `{}`},
}

// A credential is what is shown with a request, and what it is.
type credential struct {
	name, header string
	token        *sprout.Token // nil: it is none that is good
}

// An outcome is how a request ends as far as access goes.
type outcome string

const (
	unknown  outcome = "401: nobody knows who asks"
	mayNot   outcome = "403: the bearer may not"
	notThere outcome = "404: it is not there"
	through  outcome = "let through"
	hidden   outcome = "let through, without what is elsewhere"
)

// expected follows from the table of operations alone: its role, whether it
// reaches beyond a site, and what its path names.
func expected(s api.Spec, r row, c credential, lon1 sprout.SiteID) outcome {
	if s.Role == api.Public {
		return through
	}
	if c.token == nil {
		return unknown
	}
	sites, enough := api.Reach(*c.token, s.Role)
	switch {
	case !enough, s.Wide && !sites.Every():
		return mayNot
	case sites.Has(lon1):
		return through
	case r.about || s.Resource() != "" && s.Resource() != "image" && s.Resource() != "alias" && s.Resource() != "test": // these are of every site
		return notThere
	}
	return hidden
}

// An asker asks for operations as the rows say.
type asker struct {
	plane
	named *strings.Replacer
	lon1  sprout.SiteID
}

// tells tells whether an answer shows anything of lon1. Records of another site
// name it where somebody asked for it there in vain.
func (a asker) tells(s api.Spec, answer string) bool {
	if strings.HasPrefix(s.Name, "audit ") {
		return strings.Contains(answer, fmt.Sprintf(`"site":"%s"`, a.lon1))
	}
	return strings.Contains(answer, "lon1") || strings.Contains(answer, string(a.lon1)) || strings.Contains(answer, "Acme")
}

// ask returns how it ended, and what was answered.
func (a asker) ask(t *testing.T, s api.Spec, r row, c credential) (outcome, string) {
	t.Helper()
	ask, err := http.NewRequestWithContext(t.Context(), s.Method, a.URL()+a.named.Replace(s.Path), strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	if c.header != "" {
		ask.Header.Set("Authorization", c.header)
	}
	switch {
	case s.Upload:
		ask.Header.Set("Content-Type", "application/octet-stream")
	case r.body != "":
		ask.Header.Set("Content-Type", "application/json")
	}
	if s.Method != http.MethodGet && s.Resource() != "" && s.Resource() != "token" {
		ask.Header.Set("If-Match", `"another"`)
	}
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close() // of a stream that is not read, too
	var raw []byte
	if !s.Stream || answer.StatusCode != http.StatusOK {
		if raw, err = io.ReadAll(answer.Body); err != nil {
			t.Fatal(err)
		}
	}
	said := fmt.Sprintf("%d %.300s", answer.StatusCode, raw)
	switch {
	case answer.StatusCode == http.StatusUnauthorized:
		return unknown, said
	case answer.StatusCode == http.StatusForbidden:
		return mayNot, said
	case s.Name == "boot show" && answer.StatusCode == http.StatusNotFound && !strings.Contains(said, "cannot find machine"):
		return through, said // the machine never booted
	case answer.StatusCode == http.StatusNotFound:
		return notThere, said
	case answer.StatusCode == http.StatusTooManyRequests, answer.StatusCode >= http.StatusInternalServerError:
		return outcome("a failure"), said
	}
	if answer.StatusCode == http.StatusOK && !a.tells(s, string(raw)) {
		return hidden, said
	}
	return through, said
}

// Every operation, asked for with every kind of credential, every role, in and out
// of the token's sites, ends as the table of operations says.
func TestAccessFollowsFromTheTable(t *testing.T) {
	p, named, db := populated(t, func(c *server.Config) { c.Limits.AddressRate = -1 })
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("ams1")))(t)
	lon1 := must(client.Call(t.Context(), p.admin, api.SiteShow, api.SiteRef{Site: "lon1"}))(t).ID
	credentials := p.credentials(t)
	if _, err := db.Exec(t.Context(), `UPDATE machine SET inventory = '{"vendor":"Acme","model":"R1","disks":[]}' WHERE name = 'm1'`); err != nil {
		t.Fatal(err)
	}
	var seq string
	for _, r := range must(client.List(t.Context(), p.admin, api.AuditList, api.ListAudit{}, 0))(t) {
		if r.Action == "machine create" {
			seq = fmt.Sprint(r.Seq)
		}
	}
	a := asker{p, named, lon1}
	asked := 0
	known := map[string]bool{}
	for _, op := range api.Operations() {
		s := op.Spec()
		r, there := rows[s.Name]
		if known[s.Name] = true; !there {
			t.Errorf("nobody has said how to ask for %q: give it a row", s.Name)
			continue
		}
		s.Path = strings.Replace(s.Path, "{record}", seq, 1)
		for _, c := range credentials {
			if s.Name == "token revoke" {
				s.Path = "/v1/tokens/" + p.victim(t)
			}
			want := expected(op.Spec(), r, c, lon1)
			got, said := a.ask(t, s, r, c)
			asked++
			if got == want || want == through && got == hidden {
				continue
			}
			t.Errorf("%s with %s: want %s, got %s: %s", s.Name, c.name, want, got, said)
		}
	}
	for name := range rows {
		if !known[name] {
			t.Errorf("there is a row of %q, which is no operation", name)
		}
	}
	if least := len(rows) * len(credentials); asked < least {
		t.Errorf("%d requests, want at least %d", asked, least)
	}
}

// victim makes a token of lon1 that may be revoked.
func (p plane) victim(t *testing.T) string {
	t.Helper()
	var in api.CreateToken
	in.Body.Name, in.Body.Role, in.Body.Sites = sprout.NewSecret()[:12], sprout.Viewer, []string{"lon1"}
	return string(must(client.Call(t.Context(), p.admin, api.TokenCreate, in))(t).ID)
}

// credentials makes one of each kind: of each role everywhere, in lon1, in ams1,
// and in ams1 with a look at lon1; and all that are not good.
func (p plane) credentials(t *testing.T) []credential {
	t.Helper()
	create := func(name string, role sprout.Role, change func(*api.CreateToken)) api.NewToken {
		var in api.CreateToken
		in.Body.Name, in.Body.Role = name, role
		change(&in)
		return must(client.Call(t.Context(), p.admin, api.TokenCreate, in))(t)
	}
	expired := create("expired", sprout.Admin, func(in *api.CreateToken) { in.Body.Expiry = 1 })
	revoked := create("revoked", sprout.Admin, func(*api.CreateToken) {})
	must(client.Call(t.Context(), p.admin, api.TokenRevoke, api.TokenRef{Token: "revoked"}))(t)
	list := []credential{
		{"no credential", "", nil}, {"another scheme", "Basic YWRtaW46YWRtaW4=", nil}, {"an empty token", "Bearer ", nil},
		{"a malformed token", "Bearer \t{}'; --", nil}, {"an unknown token", "Bearer " + sprout.NewSecret(), nil}, {"a token without a scheme", p.token, nil},
		{"an expired token", "Bearer " + expired.Secret, nil}, {"a revoked token", "Bearer " + revoked.Secret, nil},
	}
	for _, role := range []sprout.Role{sprout.Viewer, sprout.Operator, sprout.Admin} {
		for where, change := range map[string]func(*api.CreateToken){
			"everywhere": func(*api.CreateToken) {},
			"at lon1":    func(in *api.CreateToken) { in.Body.Sites = []string{"lon1"} },
			"at ams1":    func(in *api.CreateToken) { in.Body.Sites = []string{"ams1"} },
			"at both":    func(in *api.CreateToken) { in.Body.Sites = []string{"ams1", "lon1"} },
			"at ams1, and viewer at lon1": func(in *api.CreateToken) {
				in.Body.Sites, in.Body.Grants = []string{"ams1"}, []api.NewGrant{{Role: sprout.Viewer, Sites: []string{"lon1"}}}
			},
		} {
			made := create(string(role)+" "+where, role, change)
			list = append(list, credential{"a token of the role " + made.Name, "Bearer " + made.Secret, &made.Token})
		}
	}
	agent := enrol(t, p, "ams1").enrol
	var self sprout.Token
	raw := p.text(t, agent.Token, "/v1/whoami")
	if err := json.Unmarshal([]byte(raw), &self); err != nil {
		t.Fatal(err)
	}
	list = append(list, credential{"an agent's token", "Bearer " + agent.Token, &self})
	if left := time.Until(*expired.ExpiresAt); left > 0 {
		<-time.After(left)
	}
	return list
}
