package cli_test

import (
	"maps"
	"net/http"
	"slices"
	"testing"

	"sprout/api"
	"sprout/cli"
)

// destroying says by which command an operation that destroys is asked for.
var destroying = map[string]string{
	"site delete": "site delete", "agent delete": "agent delete", "network delete": "network delete", "subnet delete": "subnet delete", "range delete": "range delete", "image delete": "image delete", "test delete": "test delete", "token revoke": "token revoke",
	"dns record delete": "dns record delete", "dns key delete": "dns key delete", "dhcp option unset": "dhcp option unset",
	"machine delete": "machine delete", "machine retire": "machine retire", "machine deploy": "machine deploy", "machine release": "machine release", "machine commission": "machine commission",
	"allocation cancel": "allocation cancel", "quota delete": "quota delete", "rule delete": "rule delete", "image alias delete": "image alias delete", "image prune": "image prune",
	"machine bulk": "machine release", "address release": "address release",
}

// keeping are the changes that destroy nothing.
var keeping = []string{
	"site create", "agent token create", "agent enrol", "network create", "network update", "subnet create", "subnet update", "range create", "range update", "address allocate", "address hold", "address probe", "machine create", "machine import", "machine update", "machine accept", "machine allocate",
	"machine mark-broken", "machine mark-fixed", "machine lock", "machine unlock", "model set", "test add", "image import", "image fetch", "workflow retry", "workflow cancel", "token create", "login create",
	"dns record create", "dns key create", "dns policy set", "machine network set", "dhcp option set", "machine hardware accept", "allocation create", "allocation extend", "quota set", "rule create", "rule try", "rule set", "rule run", "image alias set", "machine rescue", "machine unrescue", "machine console type", "bmc crawl",
}

// Whatever deletes or destroys can be planned, and is not done unasked. A new
// operation that changes anything has to be in one of the lists.
func TestWhatDestroysCanBePlanned(t *testing.T) {
	flags := cli.FlagsOf()
	known := map[string]bool{}
	for _, op := range api.Operations() {
		s := op.Spec()
		if s.Method == http.MethodGet {
			continue
		}
		known[s.Name] = true
		command, destroys := destroying[s.Name]
		switch {
		case destroys == slices.Contains(keeping, s.Name):
			t.Errorf("nobody has said whether %q destroys anything: give it a row in one list", s.Name)
		case !destroys && s.Method == http.MethodDelete:
			t.Errorf("%q deletes, and is listed as if it did not", s.Name)
		case destroys && (!slices.Contains(flags[command], "yes") || !slices.Contains(flags[command], "plan")):
			t.Errorf("sprout %s has no --yes, or no --plan: it has %v", command, flags[command])
		}
	}
	for _, name := range slices.Concat(keeping, slices.Collect(maps.Keys(destroying))) {
		if !known[name] {
			t.Errorf("%q is listed, and is no operation that changes anything", name)
		}
	}
}
