package audit_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sprout"
	"sprout/audit"
)

func words(changes []sprout.FieldChange) string {
	var b strings.Builder
	for _, c := range changes {
		fmt.Fprintf(&b, "%s:%s>%s ", c.Field, c.From, c.To)
	}
	return strings.TrimSpace(b.String())
}

func TestDiffSaysWhatIsDifferent(t *testing.T) {
	m := sprout.Machine{ID: "mch_1", Name: "m1", State: sprout.Ready, Tags: []string{"ssd"}, BMC: &sprout.BMC{Driver: "redfish", URL: "http://a"},
		Interfaces: []sprout.Interface{{MAC: "52:54:00:00:00:01", Boot: true}}, Generation: 3}
	other := m
	other.Tags, other.BMC, other.BMCAbout, other.Locked, other.Generation = []string{"ssd", "gpu"}, &sprout.BMC{Driver: "redfish", URL: "http://b"}, &sprout.BMCAbout{Vendor: "Acme"}, true, 4
	other.Interfaces = append(other.Interfaces, sprout.Interface{MAC: "52:54:00:00:00:02"})
	const want = `bmc.url:"http://a">"http://b" locked:false>true tags:["ssd"]>["ssd","gpu"] ` +
		`interfaces[1].boot:>false interfaces[1].link:>false interfaces[1].mac:>"52:54:00:00:00:02"`
	if got := words(audit.Diff(m, other)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := audit.Diff(m, m); len(got) != 0 {
		t.Errorf("nothing changed: %v", got)
	}
	made := words(audit.Diff(nil, m))
	if !strings.Contains(made, `name:>"m1"`) || !strings.Contains(made, `interfaces[0].mac:>"52:54:00:00:00:01"`) {
		t.Errorf("what was made: %s", made)
	}
	var none *sprout.Machine
	if gone := words(audit.Diff(m, none)); !strings.Contains(gone, `name:"m1">`) {
		t.Errorf("what is gone: %s", gone)
	}
}

func TestDiffShowsNoSecretAndNothingLong(t *testing.T) {
	type thing struct {
		BMC      sprout.BMC `json:"bmc"`
		Token    string     `json:"enrolToken"`
		UserData string     `json:"userData"`
		Note     string     `json:"note"`
		Many     []thing    `json:"many,omitempty"`
	}
	a := thing{BMC: sprout.BMC{Password: "hunter1"}, Token: "hunter2", UserData: "hunter3", Note: strings.Repeat("n", 300)}
	b := thing{BMC: sprout.BMC{Password: "hunter4"}, Token: "hunter5", UserData: "hunter6", Note: strings.Repeat("m", 9000), Many: slices.Repeat([]thing{{Note: "x"}}, 500)}
	got := audit.Diff(a, b)
	raw, err := json.Marshal(got)
	if err != nil || strings.Contains(string(raw), "hunter") || len(raw) > 10_000 {
		t.Errorf("%d bytes, %v: %.2000s", len(raw), err, raw)
	}
	for _, want := range []string{`bmc.password:"(secret)">"(secret)"`, `enrolToken:"(secret)"`, `userData:"(secret)"`, `note:{"bytes":302,"sha256":"`} {
		if !strings.Contains(words(got), want) {
			t.Errorf("%s is missing in %.500s", want, words(got))
		}
	}
	if len(got) != 101 {
		t.Errorf("%d fields", len(got))
	}
}
