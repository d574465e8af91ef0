package server_test

import (
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/api"
	"sprout/client"
)

// A token expires unless its maker says never; the first one is known as such;
// and when a token was used is seen soon after.
func TestTokensExpireAndTellWhenTheyWereUsed(t *testing.T) {
	p := run(t)
	create := func(change func(*api.CreateToken)) (api.NewToken, error) {
		var in api.CreateToken
		in.Body.Name, in.Body.Role = sprout.NewSecret()[:12], sprout.Viewer
		change(&in)
		return client.Call(t.Context(), p.admin, api.TokenCreate, in)
	}
	usual := must(create(func(*api.CreateToken) {}))(t)
	if left := time.Until(*usual.ExpiresAt); left < sprout.UsualExpiry-time.Minute || left > sprout.UsualExpiry || usual.Kind != sprout.MadeToken {
		t.Errorf("%+v", usual.Token)
	}
	if never := must(create(func(in *api.CreateToken) { in.Body.Never = true }))(t); never.ExpiresAt != nil {
		t.Errorf("it expires at %s", never.ExpiresAt)
	}
	if _, err := create(func(in *api.CreateToken) { in.Body.Never, in.Body.Expiry = true, 60 }); sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("never, and after a minute: %v", err)
	}
	if first := must(client.Call(t.Context(), p.admin, api.TokenWhoami, struct{}{}))(t); first.Kind != sprout.FirstToken || first.ExpiresAt != nil {
		t.Errorf("the first token is %+v", first)
	}
	listed := func(name string) sprout.Token {
		for _, token := range must(client.List(t.Context(), p.admin, api.TokenList, api.Paging{}, 0))(t) {
			if token.Name == name {
				return token
			}
		}
		t.Fatalf("no token %s", name)
		return sprout.Token{}
	}
	if token := listed(usual.Name); token.LastUsedAt != nil {
		t.Errorf("it was used at %s before anybody used it", token.LastUsedAt)
	}
	must(client.Call(t.Context(), p.as(t, usual.Secret), api.TokenWhoami, struct{}{}))(t)
	for end := time.Now().Add(10 * time.Second); listed(usual.Name).LastUsedAt == nil; {
		if time.Now().After(end) {
			t.Fatal("nobody knows that it was used")
		}
	}
}

// A token has roles at sites: it operates one, looks at another, and knows
// nothing of a third.
func TestATokenHasRolesAtSeveralSites(t *testing.T) {
	p := run(t)
	for _, name := range []string{"lon1", "par1", "ams1"} {
		must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed(name)))(t)
		p.machine(t, name, "m-"+name, "52:54:00:00:00:21")
	}
	var in api.CreateToken
	in.Body.Name, in.Body.Role, in.Body.Sites = "shift", sprout.Viewer, []string{"lon1", "par1"}
	in.Body.Grants = []api.NewGrant{{Role: sprout.Operator, Sites: []string{"lon1"}}}
	made := must(client.Call(t.Context(), p.admin, api.TokenCreate, in))(t)
	if strings.Join(made.SiteNames, " ") != "lon1 par1" || len(made.Grants) != 1 || made.Grants[0].SiteNames[0] != "lon1" {
		t.Errorf("made %+v", made.Token)
	}
	shift := p.as(t, made.Secret)
	var seen []string
	for _, m := range must(client.List(t.Context(), shift, api.MachineList, api.ListMachines{}, 0))(t) {
		seen = append(seen, m.Name)
	}
	if strings.Join(seen, " ") != "m-lon1 m-par1" {
		t.Errorf("it sees %v", seen)
	}
	for machine, want := range map[string]int{"m-lon1": 200, "m-par1": 404, "m-ams1": 404} {
		answer, fault := p.ask(t, "POST", "/v1/machines/"+machine+"/lock", made.Secret, "")
		if answer.status != want {
			t.Errorf("to lock %s is answered %d %+v", machine, answer.status, fault)
		}
		if machine == "m-par1" && !strings.Contains(fault.Remedy, "shift has the role operator at one site only") {
			t.Errorf("it is not told why: %+v", fault)
		}
	}
	if answer, _ := p.ask(t, "GET", "/v1/tokens", made.Secret, ""); answer.status != 403 {
		t.Errorf("its administrator's operations answer %d", answer.status)
	}
	if answer, _ := p.ask(t, "GET", "/v1/machines/m-ams1", made.Secret, ""); answer.status != 404 {
		t.Errorf("the third site answers %d", answer.status)
	}
	in.Body.Name, in.Body.Role, in.Body.Sites, in.Body.Grants = "two", sprout.Admin, []string{"lon1", "par1"}, nil
	two := must(client.Call(t.Context(), p.admin, api.TokenCreate, in))(t)
	in.Body.Name, in.Body.Sites = "wider", []string{"par1", "ams1"}
	if _, err := client.Call(t.Context(), p.as(t, two.Secret), api.TokenCreate, in); sprout.KindOf(err) != sprout.NotFound {
		t.Errorf("it gives away what it has not: %v", err)
	}
	in.Body.Name, in.Body.Sites = "narrower", []string{"par1"}
	must(client.Call(t.Context(), p.as(t, two.Secret), api.TokenCreate, in))(t)
	var names []string
	for _, token := range must(client.List(t.Context(), p.as(t, two.Secret), api.TokenList, api.Paging{}, 0))(t) {
		names = append(names, token.Name)
	}
	if strings.Join(names, " ") != "shift two narrower" {
		t.Errorf("an administrator of two sites sees the tokens %v", names)
	}
	// One site goes: the token is good for the other still, and for no more.
	must(client.Call(t.Context(), p.admin, api.MachineUnlock, api.MachineRef{Machine: "m-lon1"}))(t)
	must(client.Call(t.Context(), p.admin, api.MachineDelete, api.MachineRef{Machine: "m-lon1"}))(t)
	must(client.Call(t.Context(), p.admin, api.SiteDelete, api.SiteRef{Site: "lon1"}))(t)
	if who := must(client.Call(t.Context(), p.as(t, two.Secret), api.TokenWhoami, struct{}{}))(t); strings.Join(who.SiteNames, " ") != "par1" {
		t.Errorf("after its other site is gone it is %+v", who)
	}
	if answer, _ := p.ask(t, "GET", "/v1/machines/m-ams1", two.Secret, ""); answer.status != 404 {
		t.Errorf("the third site answers %d", answer.status)
	}
}
