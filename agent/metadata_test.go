package agent

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/bus"
)

var seedURL = regexp.MustCompile(`seedfrom: (http://\S+/)nocloud/`)

// A system whose metadata comes over HTTP is told what it is until it reports,
// by a URL that nobody else has; the ramdisk and the disk never see user data.
// Who knows of the machine what its neighbours can know, or comes again, or uses
// a credential for what it is not meant for, gets nothing.
func TestMetadataOverHTTP(t *testing.T) {
	c := newCentre(t)
	config := c.agentConfig()
	startAgent(t, config)
	m := introduce(t, c, config)
	const secret = "#cloud-config\npassword: swordfish\n"
	sealed, err := bus.Seal(c.sealKey, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(sprout.DeployWork{
		Image: c.imageNoun(), Hostname: "web-01.lon1.example", SSHKeys: []string{"ssh-ed25519 AAAA me"}, Sealed: true, Metadata: sprout.MetadataHTTP,
	})
	if err != nil {
		t.Fatal(err)
	}
	agent := config.url(netip.Addr{})
	get := func(url, token string, want int) string {
		t.Helper()
		status, body := m.try(t.Context(), http.MethodGet, url, token, nil)
		if status != want {
			t.Errorf("%s: got %d (%s), want %d", url, status, body, want)
		}
		if want != http.StatusOK && strings.Contains(string(body), "swordfish") {
			t.Errorf("%s: a refusal tells the secret", url)
		}
		return string(body)
	}
	bases := make(chan string, 1)
	m.on = func(o sprout.Order) {
		if whole, err := json.Marshal(o); err != nil || strings.Contains(string(whole), "swordfish") || strings.Contains(string(whole), "sealedUserData") {
			t.Errorf("the ramdisk is told the user data: %v", err)
		}
	}
	m.first = func() {
		found := seedURL.FindStringSubmatch(m.drives[0].MetaData)
		if found == nil {
			t.Errorf("the config drive does not say where the metadata is: %q", m.drives[0].MetaData)
			return
		}
		base := found[1]
		bases <- base
		if got := get(base+"nocloud/user-data", "", 200); got != secret {
			t.Errorf("user data is %q", got)
		}
		if got := get(base+"latest/meta-data/local-hostname", "", 200); got != "web-01.lon1.example" {
			t.Errorf("the hostname is %q", got)
		}
		get(base+"nocloud/nothing", "", 404)
		home := regexp.MustCompile(`http://\S+/phone-home/\S+`).FindString(get(base+"nocloud/vendor-data", "", 200))
		m.homes[0] = strings.TrimSpace(home)
		c.strangers(m, get, agent, base)
	}
	work := sprout.Work{ID: "wfl_1/1", Kind: "deploy", Machine: "mch_1", Generation: 1, Deadline: time.Now().Add(time.Hour), Input: raw, Secret: sealed}
	c.change(true, sprout.ChangeWork, work.ID, work)
	if got := c.awaitEnd("wfl_1/1"); got.State != sprout.Succeeded {
		t.Fatalf("the work ended as %s: %v", got.State, got.Failure)
	}
	base := <-bases
	get(base+"nocloud/user-data", "", 403)
	get(base+"latest/meta-data", "", 403)
}

// A system that Ignition tells gets its configuration by the same credential, until
// it reports; its config drive has the URL alone.
func TestIgnitionOverHTTP(t *testing.T) {
	c := newCentre(t)
	config := c.agentConfig()
	startAgent(t, config)
	m := introduce(t, c, config)
	const secret = `{"ignition":{"version":"3.4.0"},"storage":{"files":[{"path":"/etc/swordfish"}]}}`
	sealed, err := bus.Seal(c.sealKey, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(sprout.DeployWork{
		Image: c.imageNoun(), Hostname: "web-01.lon1.example", SSHKeys: []string{"ssh-ed25519 AAAA me"}, Sealed: true, Metadata: sprout.MetadataIgnition,
	})
	if err != nil {
		t.Fatal(err)
	}
	urls := make(chan string, 1)
	m.first = func() {
		drive := m.drives[0]
		url := regexp.MustCompile(`http://\S+/metadata/[^"]+/ignition`).FindString(drive.Ignition)
		urls <- url
		if whole, err := json.Marshal(drive); err != nil || strings.Contains(string(whole), "swordfish") || drive.UserData != "" {
			t.Errorf("the config drive is %s, %v", whole, err)
		}
		status, body := m.try(t.Context(), http.MethodGet, url, "", nil)
		if status != 200 || !strings.Contains(string(body), base64.StdEncoding.EncodeToString([]byte(secret))) {
			t.Errorf("%d: %s has not the operator's own", status, body)
		}
		m.homes[0] = regexp.MustCompile(`http://[^ \\]+/phone-home/[^ \\]+`).FindString(string(body))
	}
	work := sprout.Work{ID: "wfl_1/1", Kind: "deploy", Machine: "mch_1", Generation: 1, Deadline: time.Now().Add(time.Hour), Input: raw, Secret: sealed}
	c.change(true, sprout.ChangeWork, work.ID, work)
	if got := c.awaitEnd("wfl_1/1"); got.State != sprout.Succeeded {
		t.Fatalf("the work ended as %s: %v", got.State, got.Failure)
	}
	if status, body := m.try(t.Context(), http.MethodGet, <-urls, "", nil); status != http.StatusForbidden {
		t.Errorf("after its report: %d, %s", status, body)
	}
}

// strangers tries the metadata of a machine that is being installed with all but
// its URL.
func (c *testCentre) strangers(m *testMachine, get func(url, token string, want int) string, agent, base string) {
	parts := strings.Split(strings.TrimSuffix(strings.TrimPrefix(base, agent+"/metadata/"), "/"), "/")
	attempt, token := parts[0], parts[1]
	home := m.homes[0][strings.LastIndex(m.homes[0], "/")+1:]
	for _, path := range []string{
		"/metadata/" + attempt + "/" + m.mac + "/nocloud/user-data",
		"/metadata/" + attempt + "/mch_1/nocloud/user-data",
		"/metadata/mch_1/" + token + "/nocloud/user-data", // the token of another attempt
		"/metadata/" + attempt + "/" + home + "/nocloud/user-data",
		"/metadata/" + attempt + "/" + m.tokens[0] + "/nocloud/user-data",
		"/phone-home/" + attempt + "/" + token,
	} {
		want := http.StatusForbidden
		if strings.HasPrefix(path, "/phone-home") {
			want = http.StatusMethodNotAllowed
		}
		get(agent+path, "", want)
	}
	for _, path := range []string{"/metadata/" + m.mac, "/metadata/mch_1/", "/latest/user-data", "/latest/meta-data/", "/ignition"} {
		get(agent+path, "", http.StatusNotFound)
	}
	get(agent+"/ramdisk/order", token, http.StatusForbidden)
	if status, _ := m.try(c.t.Context(), http.MethodPost, agent+"/phone-home/"+attempt+"/"+token, "", nil); status != http.StatusForbidden {
		c.t.Errorf("the metadata's token reports for the system: %d", status)
	}
}
