package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sprout"
	"sprout/api"
	"sprout/client"
	"sprout/server"
	"sprout/store/storetest"
)

// Every kind of refusal leaves a record of who was refused what, and why; what
// somebody only reads leaves one when it is none of theirs.
func TestRefusalsAreOnRecord(t *testing.T) {
	url := storetest.NewURL(t)
	p := run(t, func(c *server.Config) { c.Database.URL = url })
	site := must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	other := must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("par1")))(t)
	m := p.machine(t, "lon1", "m1", "52:54:00:00:00:41")
	p.machine(t, "par1", "m2", "52:54:00:00:00:42")
	must(client.Call(t.Context(), p.admin, api.MachineLock, api.MachineRef{Machine: "m1"}))(t)
	token := func(name string, role sprout.Role, site string) api.NewToken {
		var in api.CreateToken
		in.Body.Name, in.Body.Role = name, role
		if site != "" {
			in.Body.Sites = []string{site}
		}
		return must(client.Call(t.Context(), p.admin, api.TokenCreate, in))(t)
	}
	viewer, ours, gone := token("viewer", sprout.Viewer, ""), token("ours", sprout.Admin, "par1"), token("gone", sprout.Admin, "")
	must(client.Call(t.Context(), p.admin, api.TokenRevoke, api.TokenRef{Token: "gone"}))(t)
	stranger := sprout.NewSecret()

	for _, c := range []struct {
		method, path, secret, body string
		want                       string // actor|token|site|action|subject|name|outcome|detail; "" is no record
	}{
		{"POST", "/v1/sites", p.token, `{"name":"A B"}`, "admin|*||site create|||refused|invalid: name: *"},
		{"POST", "/v1/sites", p.token, `{"nam":"x"}`, "admin|*||site create|||refused|invalid: name: is required"},
		{"POST", "/v1/sites", p.token, `{"name":"lon1"}`, "admin|*||site create|||refused|conflict: *"},
		{"POST", "/v1/machines/m1/commission", p.token, `{}`, fmt.Sprintf("admin|*|%s|machine commission|%s|m1|refused|conflict: *is locked*", site.ID, m.ID)},
		{"DELETE", "/v1/machines/none", p.token, "", "admin|*||machine delete||none|refused|not-found: *"},
		{"DELETE", "/v1/tokens/" + stranger, p.token, "", "admin|*||token revoke||(secret)|refused|not-found: *"},
		{"DELETE", "/v1/machines/m1", "", "", "unknown|||machine delete||m1|refused|unauthenticated: a token is needed"},
		{"DELETE", "/v1/machines/m1", stranger, "", "unknown|||machine delete||m1|refused|unauthenticated: token: *not known"},
		{"GET", "/v1/machines/m1", gone.Secret, "", fmt.Sprintf("gone|%s||machine show||m1|refused|unauthenticated: token: *was revoked*", gone.ID)},
		{"DELETE", "/v1/machines/m1", viewer.Secret, "", fmt.Sprintf("viewer|%s||machine delete||m1|refused|denied: *needs the role*", viewer.ID)},
		{"GET", "/v1/audit/verify", viewer.Secret, "", fmt.Sprintf("viewer|%s||audit verify|||refused|denied: *needs the role*", viewer.ID)},
		{"GET", "/v1/audit/verify", ours.Secret, "", fmt.Sprintf("ours|%s|%s|audit verify|||refused|denied: *beyond one site*", ours.ID, other.ID)},
		{"DELETE", "/v1/machines/m1", ours.Secret, "", fmt.Sprintf("ours|%s|%s|machine delete||m1|refused|not-found: *good for one site only", ours.ID, other.ID)},
		{"GET", "/v1/machines/m1", ours.Secret, "", fmt.Sprintf("ours|%s|%s|machine show||m1|refused|not-found: *good for one site only", ours.ID, other.ID)},
		{"GET", "/v1/machines/none", viewer.Secret, "", ""},
		{"GET", "/v1/machines?limit=x", viewer.Secret, "", ""},
		{"GET", "/v1/machines", viewer.Secret, "", ""},
		{"GET", "/v1/machines/m2", ours.Secret, "", ""},
		{"POST", "/v1/nothing/here", p.token, "{}", "unknown|||http||POST /v1/nothing/here|refused|not-found: *"},
		{"PUT", "/v1/machines", p.token, "{}", "unknown|||http||PUT /v1/machines|refused|not-found: PUT is not allowed*"},
		{"GET", "/v1/nothing", "", "", ""},
		{"POST", "/v1/agents/enrol", "", `{"token":"` + stranger + `","name":"a9","version":"1","protocol":1,"publicKey":"UAX","sealKey":"AA=="}`, "unknown|||agent enrol||*|refused|*"},
	} {
		answer, _ := p.ask(t, c.method, c.path, c.secret, c.body)
		got := ""
		for _, r := range must(client.List(t.Context(), p.admin, api.AuditList, api.ListAudit{}, 5))(t) {
			if r.Request == answer.header.Get("Request-Id") {
				got += strings.Join([]string{r.Actor, string(r.Token), string(r.Site), r.Action, r.Subject, r.Name, r.Outcome, r.Detail}, "|")
				if r.Source != "127.0.0.1" || r.Kind != sprout.AuditRequest {
					t.Errorf("%s %s: %+v", c.method, c.path, r)
				}
			}
		}
		if !like(got, c.want) {
			t.Errorf("%s %s answers %d:\ngot  %s\nwant %s", c.method, c.path, answer.status, got, c.want)
		}
	}
	if check := must(client.Call(t.Context(), p.admin, api.AuditVerify, api.VerifyAudit{}))(t); !check.Intact {
		t.Error(check.Reason)
	}
	if kept := recordsOf(t, url); strings.Contains(kept, stranger) {
		t.Error("a secret that was written where a name belongs is on record")
	}
}

// like compares with a pattern in which * stands for anything.
func like(text, pattern string) bool {
	parts := strings.Split(pattern, "*")
	if !strings.HasPrefix(text, parts[0]) || !strings.HasSuffix(text, parts[len(parts)-1]) || len(parts) == 1 && text != pattern {
		return false
	}
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}
