package metadata

import (
	"testing"

	ignition "github.com/coreos/ignition/v2/config/v3_3"
)

// What Ignition's own parser says of the configurations is nothing: no error, and no
// warning of what it would leave out.
func TestIgnitionReadsIt(t *testing.T) {
	plain, own := full(), full()
	plain.UserData = ""
	own.UserData = `{"ignition":{"version":"3.4.0"},"storage":{"files":[{"path":"/etc/x","contents":{"source":"data:,x"}}]}}`
	bare := Instance{ID: "wfl_1", Hostname: "web-01", Home: "http://[fd00::1]/phone-home/att_1/tok"}
	for name, i := range map[string]Instance{"of Sprout alone": plain, "with the operator's own": own, "without keys and networks": bare} {
		text, err := i.Answer("ignition")
		if err != nil {
			t.Fatal(err)
		}
		config, report, err := ignition.Parse([]byte(text))
		if err != nil || len(report.Entries) > 0 {
			t.Errorf("%s: %v\n%s\n%s", name, err, report.String(), text)
		}
		if len(config.Systemd.Units) != 1 || len(config.Passwd.Users) != min(len(i.SSHKeys), 1) || (len(config.Ignition.Config.Merge) == 1) != (i.UserData != "") {
			t.Errorf("%s is read as %+v", name, config)
		}
	}
	seed, err := plain.IgnitionSeed("http://10.0.0.1/metadata/att_1/tok/ignition")
	if err != nil {
		t.Fatal(err)
	}
	config, report, err := ignition.Parse([]byte(seed.Ignition))
	if err != nil || len(report.Entries) > 0 || config.Ignition.Config.Replace.Source == nil {
		t.Errorf("the seed: %v\n%s", err, report.String())
	}
}
