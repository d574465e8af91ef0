package server

import (
	"encoding/json"
	"strings"
	"testing"

	"sprout"
	"sprout/alloc"
	"sprout/alloc/alloctest"
	"sprout/alloc/builtin"
)

func TestJudge(t *testing.T) {
	rule := func(name string, want alloc.Request) sprout.Rule {
		raw, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		return sprout.Rule{Name: name, Request: raw}
	}
	large, any := rule("large", alloc.Request{MinCores: 64}), rule("any", alloc.Request{})
	label, broken := rule("label", alloc.Request{Labels: []sprout.Requirement{{Key: "rack", Value: "r1"}}}), sprout.Rule{Name: "broken", Request: json.RawMessage(`{"minCores":"x"}`)}
	for _, c := range []struct {
		rules  []sprout.Rule
		change func(m *sprout.Machine)
		want   string // the rule that takes it
	}{
		{nil, nil, ""},
		{[]sprout.Rule{large}, nil, ""},
		{[]sprout.Rule{large, any}, nil, "any"},
		{[]sprout.Rule{any, large}, func(m *sprout.Machine) { m.Inventory.CPU.Cores = 64 }, "any"},
		{[]sprout.Rule{large, any}, func(m *sprout.Machine) { m.Inventory.CPU.Cores = 64 }, "large"},
		{[]sprout.Rule{broken, any}, nil, "any"},
		{[]sprout.Rule{label}, nil, ""},
		{[]sprout.Rule{label}, func(m *sprout.Machine) { m.Labels = sprout.Labels{"rack": "r1"} }, "label"},
		{[]sprout.Rule{any}, func(m *sprout.Machine) { m.State = sprout.Registered }, ""},
		{[]sprout.Rule{any}, func(m *sprout.Machine) { m.Locked = true }, ""},
		{[]sprout.Rule{any}, func(m *sprout.Machine) { m.Activity = &sprout.Activity{Kind: "commission"} }, ""},
	} {
		m := alloctest.Machine("m1", 4, 1<<30, 1<<30)
		m.State = sprout.Discovered
		if c.change != nil {
			c.change(&m)
		}
		all := judge(builtin.Provider{}, c.rules, &m)
		var names []string
		for _, r := range c.rules {
			names = append(names, r.Name)
		}
		if got, _ := winner(all); got.Name != c.want || len(all) != len(c.rules) {
			t.Errorf("%s of %+v: %q took it, not %q", strings.Join(names, ", "), m, got.Name, c.want)
		}
	}
}
