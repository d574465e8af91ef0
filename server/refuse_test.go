package server_test

import (
	"strings"
	"testing"

	"sprout"
	"sprout/api"
	"sprout/client"
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
