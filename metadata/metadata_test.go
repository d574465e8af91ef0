package metadata

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sprout"
)

func full() Instance {
	return Instance{
		ID: "wfl_1", Hostname: "web-01.lon1.example", SSHKeys: []string{"ssh-ed25519 AAAA me", "ssh-ed25519 BBBB you"},
		UserData: "#cloud-config\nruncmd: [\"true\"]\n", Home: "http://10.0.0.1/phone-home/att_1/tok",
		Links: []sprout.LinkSetup{
			{
				MAC: "52:54:00:00:00:01", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.7/24"), netip.MustParsePrefix("fd00::7/64")},
				NTP: []netip.Addr{netip.MustParseAddr("10.0.0.123")},
			},
			{MAC: "52:54:00:00:00:02", NTP: []netip.Addr{netip.MustParseAddr("fd00::123"), netip.MustParseAddr("10.0.0.123")}},
		},
	}
}

func TestEveryDialectSaysTheSame(t *testing.T) {
	i := full()
	for path, want := range map[string]string{
		"nocloud/meta-data":                          "instance-id: wfl_1",
		"nocloud/user-data":                          i.UserData,
		"nocloud/vendor-data":                        i.Home,
		"nocloud/network-config":                     "fd00::7/64",
		"latest/meta-data":                           "public-keys/",
		"2009-04-04/meta-data/instance-id":           "wfl_1",
		"latest/meta-data/local-hostname":            i.Hostname,
		"latest/meta-data/local-ipv4":                "10.0.0.7",
		"latest/meta-data/ipv6":                      "fd00::7",
		"latest/meta-data/public-keys/":              "0=key-0\n1=key-1",
		"latest/meta-data/public-keys/1/openssh-key": i.SSHKeys[1],
		"latest/meta-data/network/interfaces/macs":   "52:54:00:00:00:01/",
		"latest/user-data":                           i.UserData,
		"latest/vendor-data":                         "manual_cache_clean",
		"":                                           "latest",
	} {
		if got, err := i.Answer(path); err != nil || !strings.Contains(got, want) {
			t.Errorf("%q: %v\n%s\nhas not %q", path, err, got, want)
		}
	}
	for _, path := range []string{"nocloud", "nocloud/../user-data", "latest/meta-data/nothing", "latest/meta-datax", "1999-01-01/user-data", "ignition/x", "/", "latest/meta-data/public-keys/7/openssh-key"} {
		if got, err := i.Answer(path); sprout.KindOf(err) != sprout.NotFound {
			t.Errorf("%q: %v, %q; want nothing there", path, err, got)
		}
	}
}

// A volume that says where the rest is has nothing of the operator's.
func TestASeedHasNoSecret(t *testing.T) {
	d, err := full().Seed("http://10.0.0.1/metadata/att_1/tok/nocloud/")
	if err != nil {
		t.Fatal(err)
	}
	if all := d.MetaData + d.UserData + d.VendorData; strings.Contains(all, "runcmd") || strings.Contains(all, "phone-home") || !strings.Contains(d.MetaData, "seedfrom: http://10.0.0.1/metadata/att_1/tok/nocloud/") {
		t.Errorf("the volume says %q", all)
	}
	if !strings.Contains(d.NetworkConfig, "10.0.0.7/24") {
		t.Error("the volume does not say how the system gets to the rest")
	}
}

// Time servers have no place in a network configuration: cloud-init's module of that
// name has them, each once, and a file of systemd-timesyncd where Ignition configures.
func TestTimeServers(t *testing.T) {
	i := full()
	d, err := i.Drive()
	if want := "ntp:\n    enabled: true\n    servers:\n        - 10.0.0.123\n        - fd00::123\n"; err != nil || !strings.Contains(d.VendorData, want) {
		t.Errorf("%v: %s\nhas not\n%s", err, d.VendorData, want)
	}
	i.UserData = ""
	got, err := i.Answer("ignition")
	if want := data("[Time]\nNTP=10.0.0.123 fd00::123\n"); err != nil || !strings.Contains(got, `"/etc/systemd/timesyncd.conf.d/sprout.conf"`) || !strings.Contains(got, want) {
		t.Errorf("%v: %s\nhas not %s", err, got, want)
	}
	i.Links = nil
	if d, err = i.Drive(); err != nil || strings.Contains(d.VendorData, "ntp") {
		t.Errorf("%v: without time servers it says %s", err, d.VendorData)
	}
}

func TestIgnition(t *testing.T) {
	i := full()
	if _, err := i.Answer("ignition"); sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("a cloud-config as Ignition's: %v", err)
	}
	i.UserData = `{"ignition":{"version":"3.4.0"},"storage":{"files":[]}}`
	got, err := i.Answer("ignition")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Ignition struct {
			Version string
			Config  struct{ Merge []struct{ Source string } }
		}
		Passwd struct {
			Users []struct{ SSHAuthorizedKeys []string }
		}
		Systemd struct{ Units []struct{ Contents string } }
	}
	if err := json.Unmarshal([]byte(got), &config); err != nil {
		t.Fatal(err)
	}
	own, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(config.Ignition.Config.Merge[0].Source, "data:;base64,"))
	if err != nil || string(own) != i.UserData {
		t.Errorf("the operator's own is %q, %v", own, err)
	}
	if len(config.Passwd.Users[0].SSHAuthorizedKeys) != 2 || !strings.Contains(config.Systemd.Units[0].Contents, i.Home) {
		t.Errorf("it says %s", got)
	}
}

// The config drive of Ignition has the URL and nothing of the operator's. Other user
// data than Ignition's is refused, and with the field.
func TestIgnitionSeed(t *testing.T) {
	d, err := full().IgnitionSeed("http://10.0.0.1/metadata/att_1/tok/ignition")
	if want := `{"ignition":{"config":{"replace":{"source":"http://10.0.0.1/metadata/att_1/tok/ignition"}},"version":"3.3.0"}}`; err != nil || d.Ignition != want {
		t.Errorf("%v: %s, want %s", err, d.Ignition, want)
	}
	if want := `{"hostname":"web-01.lon1.example","name":"web-01.lon1.example","uuid":"wfl_1"}`; d.MetaData != want || d.UserData+d.VendorData != "" {
		t.Errorf("%+v", d)
	}
	for text, good := range map[string]bool{"": true, " \n": true, `{"ignition":{"version":"3.4.0"}}`: true, "#cloud-config": false, `{"ignition":{"version":"2.3.0"}}`: false, "{}": false} {
		if err := CheckIgnition(text); (err == nil) != good || err != nil && sprout.KindOf(err) != sprout.Invalid {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Debian's cloud-init reads all of it by its own functions: NoCloud's seed over
// HTTP, EC2's tree, and vendor data in parts.
func TestCloudInitReadsIt(t *testing.T) {
	cache := os.Getenv("CACHE")
	if cache == "" {
		cache = "/var/cache/sprout"
	}
	lib := filepath.Join(cache, "cloud-init/usr/lib/python3/dist-packages")
	if _, err := os.Stat(lib); err != nil {
		t.Skip("make cloud-init unpacks Debian's cloud-init: ", err)
	}
	i := full()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := i.Answer(strings.TrimPrefix(r.URL.Path, "/md/"))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(body)) // the client says what is missing
	}))
	defer web.Close()
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", `
import email, json, sys
from cloudinit import util
from cloudinit.sources.helpers import ec2
url = sys.argv[1]
md, ud, vd = util.read_seeded(url + "nocloud/")
tree = ec2.get_instance_metadata("latest", url.rstrip("/"))
parts = [p.get_content_type() for p in email.message_from_bytes(vd).walk() if not p.is_multipart()]
print(json.dumps([md["instance-id"], ud.decode(), parts, tree["local-hostname"], tree["local-ipv4"], tree["public-keys"],
	ec2.get_instance_userdata("latest", url.rstrip("/")).decode()]))`, web.URL+"/md/")
	cmd.Env = append(os.Environ(), "PYTHONPATH="+lib)
	var said strings.Builder
	cmd.Stderr = &said
	raw, err := cmd.Output()
	want := `["wfl_1", "#cloud-config\nruncmd: [\"true\"]\n", ["text/cloud-config", "text/x-shellscript"], "web-01.lon1.example", "10.0.0.7", ` +
		`{"key-0": "ssh-ed25519 AAAA me", "key-1": "ssh-ed25519 BBBB you"}, "#cloud-config\nruncmd: [\"true\"]\n"]`
	if err != nil || strings.TrimSpace(string(raw)) != want {
		t.Errorf("%v: cloud-init read\n%s\nwant\n%s\n%s", err, raw, want, said.String())
	}
}
