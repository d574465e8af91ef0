package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sprout/cli"
)

// silent are the commands that answer no document: they run until they are
// ended, or work on this machine alone and say what they do.
var silent = []string{"server", "dev", "agent", "lab", "sim", "ramdisk", "image build", "completion", "help", "events", "audit export", "machine console"}

// Every command prints one JSON document with -o json, or nothing where it is
// refused; whatever is for people goes elsewhere.
func TestEveryCommandPrintsOneDocument(t *testing.T) {
	url, token, stop, err := start(t, filepath.Join(t.TempDir(), "plane"))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	write := func(name, text string) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	import_ := write("machines.yaml", `- {site: lon1, name: m2, macs: ["52:54:00:00:01:02"]}`)
	disk := write("disk.raw", strings.Repeat("sprout..", 1<<14))
	vars := map[string]string{"KEY": write("key.pub", "ssh-ed25519 AAAA me"), "IMPORT": import_, "DISK": disk, "TEST": write("mine", "#!/bin/sh\n# --- sprout test\n# title: Mine\n# kind: node\n# ---\n"), "NET": write("net.yaml", `interfaces: [{name: lan0, mac: "52:54:00:00:01:01", dhcp4: true}]`)}
	sprout := func(args ...string) (int, string) {
		t.Helper()
		var out, errs strings.Builder
		code := cli.MainWith(t.Context(), args, strings.NewReader(""), &out, &errs, func(name string) string {
			return map[string]string{"SPROUT_SERVER": url, "SPROUT_TOKEN": token, "SPROUT_CONFIG": "/nonexistent/none.yaml"}[name]
		})
		return code, out.String()
	}
	tried := map[string]bool{}
	for _, c := range []struct {
		command, args string
		code          int
		keep          string // variable for a field of the answer
		field         string
	}{
		{"version", "", 0, "", ""}, {"context list", "", 0, "", ""}, {"context show", "", 1, "", ""}, {"context use", "x", 1, "", ""}, {"context delete", "x", 1, "", ""}, {"login", "http://127.0.0.1:1", 5, "", ""},
		{"model list", "", 0, "", ""}, {"model show", "x", 1, "", ""}, {"model set", "x", 2, "", ""}, {"token whoami", "", 0, "", ""}, {"status", "", 0, "", ""},
		{"site create", "lon1", 0, "", ""}, {"site create", "par1", 0, "", ""}, {"site list", "", 0, "", ""}, {"site show", "lon1", 0, "", ""}, {"site delete", "par1", 4, "", ""}, {"site delete", "lon1 par1 --plan", 0, "", ""}, {"site delete", "par1 -y", 0, "", ""},
		{"network create", "n --site lon1 --cidr 10.0.0.0/24", 0, "", ""}, {"network list", "", 0, "", ""}, {"network show", "n", 0, "", ""}, {"network update", "n --mtu 1400", 0, "", ""},
		{"subnet create", "n --cidr fd00::/64 --dynamic fd00::10-fd00::20", 0, "", ""}, {"subnet next", "n --from fd00:1::/48 --prefix 64", 0, "", ""}, {"subnet list", "", 0, "", ""}, {"subnet show", "fd00::/64", 0, "", ""}, {"subnet update", "fd00::/64 --gateway fd00::1", 0, "", ""},
		{"range create", "fd00::/64 fd00::30-fd00::40", 0, "", ""}, {"range update", "fd00::/64 fd00::30-fd00::40 --to fd00::30-fd00::3f", 0, "", ""},
		{"range delete", "fd00::30-fd00::3f --subnet fd00::/64 --plan", 0, "", ""}, {"range delete", "fd00::30-fd00::3f --subnet fd00::/64 -y", 0, "", ""}, {"subnet delete", "fd00::/64 -y", 0, "", ""},
		{"machine create", "m1 --site lon1 --mac 52:54:00:00:01:01 --bmc-url http://127.0.0.1:1 --bmc-user u --bmc-password p", 0, "", ""},
		{"machine import", "-f IMPORT", 0, "", ""}, {"machine list", "", 0, "", ""}, {"machine list", "--state deployed", 0, "", ""}, {"machine show", "m1", 0, "", ""},
		{"machine update", "m1 --pool a", 0, "", ""}, {"machine update", "m1 m2 --pool a", 0, "", ""}, {"machine lock", "m1", 0, "", ""}, {"machine unlock", "m1 m2 m9", 3, "", ""},
		{"machine accept", "m1", 1, "", ""}, {"machine mark-broken", "m1", 0, "", ""}, {"machine mark-fixed", "m1", 0, "", ""},
		{"machine history", "m1", 0, "", ""}, {"machine explain", "m1", 0, "", ""}, {"machine wait", "--state registered", 0, "", ""},
		{"machine network show", "m1", 0, "", ""}, {"machine network set", "m1 --file NET", 0, "", ""}, {"machine network clear", "m1", 0, "", ""},
		{"machine hardware show", "m1", 0, "", ""}, {"machine hardware accept", "m1", 1, "", ""},
		{"machine commission", "m1 m2 --plan", 3, "", ""}, {"machine commission", "m1", 0, "W", "id"},
		{"workflow list", "", 0, "", ""}, {"workflow show", "W", 0, "", ""}, {"workflow explain", "W", 0, "", ""}, {"workflow retry", "W", 1, "", ""}, {"workflow retry", "W W", 1, "", ""},
		{"workflow cancel", "W", 0, "", ""}, {"workflow wait", "wfl_none", 1, "", ""},
		{"machine allocate", "", 1, "", ""}, {"machine deploy", "m1 --image x", 1, "", ""}, {"machine release", "m1", 1, "", ""}, {"machine rescue", "m1 --ssh-key KEY", 1, "", ""}, {"machine unrescue", "m1", 1, "", ""},
		{"machine retire", "m2 --plan", 0, "", ""}, {"machine delete", "m2", 4, "", ""}, {"machine delete", "m2 --plan", 0, "", ""}, {"machine delete", "m2 -y", 0, "", ""},
		{"boot list", "m1", 0, "", ""}, {"boot show", "m1", 1, "", ""},
		{"test add", "mine TEST", 0, "", ""}, {"test add", "mine DISK", 2, "", ""}, {"test list", "--kind node", 0, "", ""}, {"test show", "mine", 0, "", ""}, {"test history", "--machine m1", 0, "", ""}, {"test fleet", "disk-read", 0, "", ""}, {"test delete", "mine --plan", 0, "", ""}, {"test delete", "mine", 4, "", ""}, {"test delete", "mine -y", 0, "", ""},
		{"image import", "small DISK", 0, "", ""}, {"image import", "far http://127.0.0.1:1/x --unverified", 1, "", ""}, {"image list", "", 0, "", ""}, {"image show", "small", 0, "", ""}, {"image alias set", "stable small", 0, "", ""}, {"image alias list", "", 0, "", ""}, {"image alias show", "stable", 0, "", ""}, {"image alias delete", "stable --plan", 0, "", ""}, {"image alias delete", "stable -y", 0, "", ""}, {"image prune", "--plan", 0, "", ""}, {"image prune", "", 0, "", ""}, {"image prune", "--days 0", 4, "", ""}, {"image delete", "small --plan", 0, "", ""}, {"image delete", "small -y", 0, "", ""},
		{"allocation create", "--count 2 --for 1h --queue", 0, "A", "id"}, {"allocation create", "--wait", 2, "", ""}, {"allocation create", "--count 2", 1, "", ""}, {"allocation list", "", 0, "", ""}, {"allocation show", "A", 0, "", ""},
		{"allocation extend", "A --for never", 0, "", ""}, {"allocation cancel", "A --plan", 0, "", ""}, {"allocation cancel", "A", 4, "", ""}, {"allocation cancel", "A -y", 0, "", ""}, {"allocation wait", "A", 1, "", ""},
		{"quota set", "shop --machines 2", 0, "", ""}, {"quota list", "", 0, "", ""}, {"quota show", "shop", 0, "", ""}, {"quota delete", "shop --plan", 0, "", ""}, {"quota delete", "shop", 4, "", ""}, {"quota delete", "shop -y", 0, "", ""},
		{"rule create", "lab --match cores=2,memory=1GiB --name n-{serial} --plan", 0, "", ""}, {"rule create", "lab --match cores>=2 --name n-{serial} --tag lab", 0, "", ""}, {"rule create", "lab --match color=red", 2, "", ""}, {"rule create", "Lab", 2, "", ""},
		{"bmc crawl", "lon1 10.0.5.0/24 --plan", 0, "", ""}, {"bmc crawl", "lon1 10.0.5.1", 5, "", ""}, {"bmc crawl", "lon1 10.0.5.1 --accept", 4, "", ""}, {"bmc crawl", "lon1 10.0.0.0/16 --plan", 2, "", ""},
		{"rule list", "", 0, "", ""}, {"rule show", "lab", 0, "", ""}, {"rule set", "lab --priority 3", 0, "", ""}, {"rule run", "lab", 0, "", ""}, {"rule run", "nolab --plan", 1, "", ""}, {"rule explain", "m1", 0, "", ""},
		{"rule delete", "lab --plan", 0, "", ""}, {"rule delete", "lab", 4, "", ""}, {"rule delete", "lab -y", 0, "", ""},
		{"dhcp option set", "ntp-servers 10.0.0.3 --site lon1 --machine m1", 0, "O", "id"}, {"dhcp option set", "nonsense 1 --site lon1", 2, "", ""}, {"dhcp option list", "--site lon1", 0, "", ""}, {"dhcp option show", "O", 0, "", ""},
		{"dhcp option unset", "O --plan", 0, "", ""}, {"dhcp option unset", "O", 4, "", ""}, {"dhcp option unset", "O -y", 0, "", ""},
		{"dns record create", "www CNAME m1.lon1.internal --site lon1", 0, "R", "id"}, {"dns record list", "--site lon1", 0, "", ""}, {"dns record show", "R", 0, "", ""},
		{"dns record delete", "R --plan", 0, "", ""}, {"dns record delete", "R", 4, "", ""}, {"dns record delete", "R -y", 0, "", ""},
		{"dns key create", "ns2 --site lon1", 0, "", ""}, {"dns key list", "lon1", 0, "", ""}, {"dns key show", "lon1/ns2", 0, "", ""}, {"dns policy set", "lon1 --transfer key:ns2", 0, "", ""}, {"dns policy show", "lon1", 0, "", ""},
		{"dns key delete", "lon1/ns2 --plan", 0, "", ""}, {"dns policy set", "lon1 --transfer=", 0, "", ""}, {"dns key delete", "lon1/ns2 -y", 0, "", ""},
		{"address allocate", "n --count 2", 0, "", ""}, {"address hold", "n --ip 10.0.0.9 --for 1h", 0, "", ""}, {"address show", "10.0.0.9", 0, "", ""}, {"address probe", "10.0.0.9", 5, "", ""},
		{"address release", "10.0.0.9 --plan", 0, "", ""}, {"address release", "10.0.0.9 -y", 0, "", ""}, {"address release", "10.0.0.1 10.0.0.2 -y", 0, "", ""}, {"address list", "", 0, "", ""}, {"dhcp lease list", "", 0, "", ""}, {"lease list", "", 0, "", ""}, {"dhcp explain", "--site lon1 --mac 52:54:00:00:01:01", 5, "", ""}, {"network delete", "n --plan", 0, "", ""}, {"network delete", "n -y", 0, "", ""},
		{"agent list", "", 0, "", ""}, {"agent show", "lon1", 1, "", ""}, {"agent token create", "lon1", 0, "", ""}, {"agent delete", "lon1 --plan", 1, "", ""}, {"agent delete", "lon1 -y", 1, "", ""},
		{"token create", "ci", 0, "", ""}, {"token list", "", 0, "", ""}, {"token revoke", "ci", 4, "", ""}, {"token revoke", "ci --plan", 0, "", ""}, {"token revoke", "ci -y", 0, "", ""},
		{"audit list", "", 0, "", ""}, {"machine label", "m1 rack=r1", 0, "", ""}, {"audit show", "1", 0, "", ""}, {"audit verify", "", 0, "", ""}, {"problem explain", "tftp-stalled", 0, "", ""}, {"provider list", "", 0, "", ""}, {"problem list", "", 0, "", ""}, {"problem show", "prb_none", 1, "", ""},
	} {
		tried[c.command] = true
		args := strings.Fields(c.command)
		for _, word := range strings.Fields(c.args) {
			if value, ok := vars[word]; ok {
				word = value
			}
			args = append(args, word)
		}
		code, out := sprout(append(args, "-o", "json")...)
		if code != c.code {
			t.Errorf("%s %s: exit code %d, not %d: %s", c.command, c.args, code, c.code, out)
		}
		if out == "" && code != 0 {
			continue
		}
		var document any
		if err := json.Unmarshal([]byte(out), &document); err != nil {
			t.Errorf("%s %s: %v: %q", c.command, c.args, err, out)
		}
		if c.keep != "" {
			vars[c.keep], _ = document.(map[string]any)[c.field].(string)
		}
	}
	for _, command := range cli.Commands() {
		known := tried[command]
		for _, s := range silent {
			known = known || command == s || strings.HasPrefix(command, s+" ") && s != "agent"
		}
		if !known {
			t.Errorf("nobody has said what %q prints as JSON", command)
		}
	}
}
