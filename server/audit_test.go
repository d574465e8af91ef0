package server_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/client"
	"sprout/server"
	"sprout/store/storetest"
)

// changed writes the changes of a record as "field from>to, …".
func changed(r sprout.AuditRecord) string {
	var all []string
	for _, c := range r.Changes {
		all = append(all, fmt.Sprintf("%s %s>%s", c.Field, c.From, c.To))
	}
	return strings.Join(all, ", ")
}

// A record says who changed what, from where, and what is different now. Of a
// secret it says that there is another one: that is neither in an answer nor in
// the database's records.
func TestAuditTellsWhatChangedAndNoSecret(t *testing.T) {
	url := storetest.NewURL(t)
	p := run(t, func(c *server.Config) { c.Database.URL = url })
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	m := p.machine(t, "lon1", "m1", "52:54:00:00:00:41")
	var token api.CreateToken
	token.Body.Name, token.Body.Role = "ci", sprout.Operator
	ci := must(client.Call(t.Context(), p.admin, api.TokenCreate, token))(t)
	var enrol api.CreateAgentToken
	enrol.Body.Site = "lon1"
	agent := must(client.Call(t.Context(), p.admin, api.AgentTokenCreate, enrol))(t)

	var in api.UpdateMachine
	in.Machine = "m1"
	in.Body.Tags, in.Body.Pool = &[]string{"gpu", "ssd"}, new("web")
	in.Body.BMC = &sprout.BMC{Driver: "redfish", URL: "http://127.0.0.1:2", Username: "u", Password: "correct-horse"}
	must(client.Call(t.Context(), p.as(t, ci.Secret), api.MachineUpdate, in))(t)

	last := func(action string) sprout.AuditRecord {
		t.Helper()
		filter := api.ListAudit{AuditFilter: api.AuditFilter{Action: action}}
		found := must(client.List(t.Context(), p.admin, api.AuditList, filter, 1))(t)
		if len(found) != 1 {
			t.Fatalf("no record of %s", action)
		}
		return must(client.Call(t.Context(), p.admin, api.AuditShow, api.AuditRef{Seq: found[0].Seq}))(t)
	}
	r := last("machine update")
	if r.Actor != "ci" || r.Token != ci.ID || r.Source != "127.0.0.1" || r.Subject != string(m.ID) || r.Kind != sprout.AuditRequest || r.Request == "" {
		t.Errorf("who asked: %+v", r)
	}
	const want = `bmc.password >"(secret)", bmc.url "http://127.0.0.1:1">"http://127.0.0.1:2", pool >"web", tags >["gpu","ssd"]`
	if got := changed(r); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for action, want := range map[string]string{
		"site create": `name >"lon1"`, "machine create": `bmc.password >"(secret)"`, "token create": `role >"operator"`, "agent token create": `secret >"(secret)"`,
	} {
		if got := changed(last(action)); !strings.Contains(got, want) {
			t.Errorf("%s: %s is not in %s", action, want, got)
		}
	}
	must(client.Call(t.Context(), p.admin, api.MachineDelete, api.MachineRef{Machine: "m1"}))(t)
	if got := changed(last("machine delete")); !strings.Contains(got, `pool "web">,`) {
		t.Errorf("machine delete: %s", got)
	}

	kept := recordsOf(t, url)
	for _, secret := range []string{"correct-horse", ci.Secret, agent.Secret, p.token} {
		if quoted := must(json.Marshal(secret))(t); strings.Contains(kept, string(quoted[1:len(quoted)-1])) {
			t.Errorf("the secret %s is in the audit: %s", secret, kept)
		}
	}
}

// recordsOf returns all that the database holds of the audit.
func recordsOf(t *testing.T, url string) string {
	t.Helper()
	db := must(pgx.Connect(t.Context(), url))(t)
	defer db.Close(t.Context()) //nolint:errcheck // the database is dropped
	var all string
	err := db.QueryRow(t.Context(), `SELECT string_agg(line, E'\n') FROM (SELECT to_json(a)::text AS line FROM audit a UNION ALL SELECT to_json(u)::text FROM audit_unsealed u) AS lines`).Scan(&all)
	if err != nil || all == "" {
		t.Fatalf("%v: %s", err, all)
	}
	return all
}
