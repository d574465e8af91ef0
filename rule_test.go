package sprout_test

import (
	"errors"
	"strings"
	"testing"

	"sprout"
)

func TestRuleNamesMachines(t *testing.T) {
	m := sprout.Machine{Name: "new-1", SiteName: "lon1", Interfaces: []sprout.Interface{{MAC: "52:54:00:00:00:01"}, {MAC: "52:54:00:00:00:02", Boot: true}},
		Inventory: &sprout.Inventory{Serial: "AB C/12", Model: "PowerEdge R650", UUID: "4C4C4544-0001"}}
	bare := sprout.Machine{Name: "new-2", Inventory: &sprout.Inventory{Serial: "To Be Filled By O.E.M.", UUID: "00000000-0000-0000-0000-000000000000"}}
	for _, c := range []struct {
		pattern string
		of      sprout.Machine
		want    string // or what is wrong
	}{
		{"", m, "new-1"},
		{"r650-{serial}", m, "r650-ab-c-12"},
		{"{site}-{mac}", m, "lon1-525400000002"},
		{"{model}", m, "poweredge-r650"},
		{"{uuid}", m, "4c4c4544-0001"},
		{"n{counter}", m, "n7"},
		{"{serial}", bare, "cannot fill in {serial}"},
		{"{uuid}", bare, "cannot fill in {uuid}"},
		{"{mac}", bare, "cannot fill in {mac}"},
		{"-{counter}", m, `cannot name it "-7"`},
		{strings.Repeat("x", 60) + "{serial}", m, "at most 63"},
		{"{colour}", m, "there are {counter}, {mac}"},
	} {
		got, err := sprout.RuleGift{MachineName: c.pattern}.NameOf(&c.of, 7)
		if err != nil && !strings.Contains(err.Error(), c.want) || err == nil && got != c.want {
			t.Errorf("%q: got %q and %v, not %q", c.pattern, got, err, c.want)
		}
	}
}

func TestRuleGiftIsChecked(t *testing.T) {
	bmc := sprout.BMC{Driver: "redfish", URL: "https://{serial}.bmc.example"}
	for _, c := range []struct {
		gift sprout.RuleGift
		want string // the field that is wrong; empty: none
	}{
		{sprout.RuleGift{}, ""},
		{sprout.RuleGift{MachineName: "n-{serial}", BMC: &bmc, Commission: true}, ""},
		{sprout.RuleGift{MachineName: "n_{serial}"}, "machineName"},
		{sprout.RuleGift{MachineName: "{colour}"}, "machineName"},
		{sprout.RuleGift{Tags: []string{""}}, "tags"},
		{sprout.RuleGift{Commission: true}, "commission"},
		{sprout.RuleGift{Commission: true, BMC: &sprout.BMC{Driver: "manual"}}, "commission"},
		{sprout.RuleGift{BMC: &sprout.BMC{Driver: "redfish", URL: "ipmi://{serial}"}}, "bmc.url"},
		{sprout.RuleGift{BMC: &sprout.BMC{Driver: "redfish", URL: "https://{colour}"}}, "bmc.url"},
	} {
		err := c.gift.Check()
		if got := fieldOf(err); got != c.want || (err == nil) != (c.want == "") {
			t.Errorf("%+v: %v, not of %q", c.gift, err, c.want)
		}
	}
}

func fieldOf(err error) string {
	var known *sprout.Error
	if errors.As(err, &known) {
		return known.Field
	}
	return ""
}
