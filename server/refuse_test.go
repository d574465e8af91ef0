package server_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/client"
	"sprout/server"
	"sprout/store/storetest"
)

// What cannot end well is refused before it begins, with what leads on.
func TestWorkThatCannotEndWellIsRefusedAtOnce(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	p.machine(t, "lon1", "m1", "52:54:00:00:00:41")
	update := func(change func(*api.UpdateMachine)) {
		t.Helper()
		var in api.UpdateMachine
		in.Machine = "m1"
		change(&in)
		must(client.Call(t.Context(), p.admin, api.MachineUpdate, in))(t)
	}
	for _, c := range []struct {
		name           string
		before         func()
		ask, body      string
		detail, remedy string
	}{
		{"manual power", func() {
			update(func(in *api.UpdateMachine) { in.Body.BMC = &sprout.BMC{Driver: "manual"} })
		}, "commission", `{}`, "power is manual", "sprout machine update m1 --bmc-driver redfish"},
		{"locked", func() {
			must(client.Call(t.Context(), p.admin, api.MachineLock, api.MachineRef{Machine: "m1"}))(t)
		}, "commission", `{}`, "is locked", "sprout machine unlock m1"},
		{"wrong state", func() {
			must(client.Call(t.Context(), p.admin, api.MachineUnlock, api.MachineRef{Machine: "m1"}))(t)
		}, "deploy", `{"image":"x"}`, "is registered, and must be allocated", "sprout machine commission m1"},
		{"protected", func() {
			update(func(in *api.UpdateMachine) { in.Body.Protected = new(true) })
		}, "release", `{}`, "is protected", "sprout machine update m1 --protected=false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.before()
			answer, fault := p.ask(t, "POST", "/v1/machines/m1/"+c.ask, p.token, c.body)
			if answer.status != 409 || !strings.Contains(fault.Detail, c.detail) || !strings.HasPrefix(fault.Remedy, c.remedy) {
				t.Errorf("%d %+v", answer.status, fault)
			}
		})
	}
	var bare api.CreateMachine
	bare.Body = api.NewMachine{Site: "lon1", Name: "m2", MACs: []string{"52:54:00:00:00:42"}}
	must(client.Call(t.Context(), p.admin, api.MachineCreate, bare))(t)
	if answer, fault := p.ask(t, "POST", "/v1/machines/m2/commission", p.token, `{}`); answer.status != 409 || !strings.Contains(fault.Detail, "no BMC") {
		t.Errorf("%d %+v", answer.status, fault)
	}
	if list := must(client.List(t.Context(), p.admin, api.WorkflowList, api.ListWorkflows{}, 0))(t); len(list) != 0 {
		t.Errorf("what was refused left workflows: %+v", list)
	}
}

// A lock keeps a machine from every workflow and from leaving; protection from what would
// take its data, and from nothing else. Each refusal names the command that ends it.
func TestWhatLockAndProtectionRefuse(t *testing.T) {
	url := storetest.NewURL(t)
	p := run(t, func(c *server.Config) { c.Database.URL = url })
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	p.machine(t, "lon1", "m1", "52:54:00:00:00:41")
	db := must(pgx.Connect(t.Context(), url))(t)
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	const locked, protected = "sprout machine unlock m1", "sprout machine update m1 --protected=false"
	for _, c := range []struct {
		state              sprout.State
		method, path, body string
		refusedBy          string // remedies of what refuses it
	}{
		{sprout.Ready, "POST", "/commission", `{}`, locked},
		{sprout.Ready, "POST", "/commission", `{"tests":[{"test":"disk-burn-in"}],"destructive":true}`, locked + protected},
		{sprout.Allocated, "POST", "/deploy", `{"image":"none"}`, locked},
		{sprout.Deployed, "POST", "/deploy", `{"image":"none"}`, locked + protected},
		{sprout.Deployed, "POST", "/release", `{}`, locked + protected},
		{sprout.Deployed, "POST", "/release", `{"force":"its site is gone"}`, locked + protected},
		{sprout.Ready, "POST", "/release", `{"erase":true}`, locked + protected},
		{sprout.Deployed, "POST", "/rescue", `{"sshKeys":["ssh-ed25519 AAAA"]}`, locked},
		{sprout.Rescued, "POST", "/unrescue", ``, locked},
		{sprout.Ready, "POST", "/retire", `{"reason":"old"}`, locked + protected},
		{sprout.Ready, "DELETE", "", ``, locked + protected},
	} {
		for column, remedy := range map[string]string{"locked": locked, "protected": protected} {
			must(db.Exec(t.Context(), `UPDATE machine SET state = $1, locked = false, protected = false`, c.state))(t)
			must(db.Exec(t.Context(), `UPDATE machine SET `+column+` = true`))(t)
			if !strings.Contains(c.refusedBy, remedy) {
				continue
			}
			path := "/v1/machines/m1" + c.path
			answer, fault := p.ask(t, c.method, path, p.token, c.body)
			if answer.status != 409 || fault.Remedy != remedy || !strings.Contains(fault.Detail, "it is "+column) {
				t.Errorf("%s %s %s of a machine that is %s and %s: %d %+v", c.method, path, c.body, c.state, column, answer.status, fault)
			}
		}
	}
	if list := must(client.List(t.Context(), p.admin, api.WorkflowList, api.ListWorkflows{}, 0))(t); len(list) != 0 {
		t.Errorf("what was refused left workflows: %+v", list)
	}
	// Protection is of data: what leaves it where it is begins.
	must(db.Exec(t.Context(), `UPDATE machine SET state = 'ready', locked = false, protected = true`))(t)
	if answer, fault := p.ask(t, "POST", "/v1/machines/m1/commission", p.token, `{}`); answer.status != 200 && answer.status != 202 {
		t.Errorf("a protected machine cannot be commissioned: %d %+v", answer.status, fault)
	}
}
