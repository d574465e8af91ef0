package crawl_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sprout"
	"sprout/power"
	"sprout/power/crawl"
	ipmi "sprout/power/ipmi/emulator"
	"sprout/sim"
)

const password = "correct horse"

// rackOf has machines m1, m2, … each with a BMC at an address of its own.
func rackOf(t *testing.T, n int) (form string, ips []netip.Addr) {
	t.Helper()
	rack := sim.NewRack("admin", password, nil)
	t.Cleanup(rack.Close)
	for i := range n {
		name := fmt.Sprint("m", i+1)
		slot, err := rack.Plug(sim.Config{Spec: sim.Spec{Name: name, Serial: "S" + name, MACs: []string{fmt.Sprintf("52:54:00:31:02:%02x", i+1)}}})
		if err != nil {
			t.Fatal(err)
		}
		at := netip.MustParseAddrPort(strings.TrimPrefix(slot.URL, "http://"))
		form, ips = fmt.Sprintf("http://%s:%d", sprout.AddressField, at.Port()), append(ips, at.Addr())
	}
	return form, ips
}

func nobodys(netip.Addr) (crawl.Known, bool) { return crawl.Known{}, false }

func newCrawler(now func() time.Time) *crawl.Crawler {
	return crawl.New(slog.New(slog.DiscardHandler), now)
}

func states(found []sprout.FoundBMC) string {
	var all []string
	for _, f := range found {
		all = append(all, string(f.State))
	}
	return strings.Join(all, " ")
}

// What is at an address is told: a BMC that is read, one that is only seen, nothing.
func TestWhatIsAtAnAddress(t *testing.T) {
	form, ips := rackOf(t, 2)
	c := newCrawler(time.Now)
	nobody := netip.MustParseAddr("127.255.1.1")
	q := sprout.CrawlQuestion{Addresses: append(ips, nobody), Redfish: form, Username: "admin"}
	found := c.Look(t.Context(), q, password, nobodys)
	if got := states(found); got != "read read not-a-bmc" { // the rack's port is open there too
		t.Fatalf("found %s: %+v", got, found)
	}
	s := found[1].Systems
	if len(s) != 1 || s[0].Serial != "Sm2" || len(s[0].MACs) != 1 || s[0].MACs[0] != "52:54:00:31:02:02" || s[0].UUID == "" || s[0].Power != sprout.PowerOff || found[1].Address != ips[1] || found[1].Driver != "redfish" {
		t.Errorf("read %+v", found[1])
	}
	q.Username = ""
	if got := states(c.Look(t.Context(), q, "", nobodys)); got != "seen seen not-a-bmc" {
		t.Errorf("without credentials %s", got)
	}
	q = sprout.CrawlQuestion{Addresses: ips[:1], Redfish: "http://{address}:1"}
	if got := states(c.Look(t.Context(), q, "", nobodys)); got != "silent" {
		t.Errorf("where nobody is %s", got)
	}
}

// A BMC that is a machine's is read as that says, and shown no other credentials.
func TestAMachinesOwnBMC(t *testing.T) {
	form, ips := rackOf(t, 1)
	own := func(netip.Addr) (crawl.Known, bool) {
		return crawl.Known{Machine: "web-01", Systems: func(context.Context) ([]sprout.FoundSystem, error) { return []sprout.FoundSystem{{ID: "own"}}, nil }}, true
	}
	found := newCrawler(time.Now).Look(t.Context(), sprout.CrawlQuestion{Addresses: ips, Redfish: form, Username: "admin"}, "wrong", own)
	if found[0].State != sprout.BMCRead || found[0].Account != "web-01" || found[0].Systems[0].ID != "own" {
		t.Errorf("found %+v", found[0])
	}
}

// Credentials that are wrong are tried at three BMCs, once each, and not again at one
// that refused them within an hour.
func TestNoAccountIsLocked(t *testing.T) {
	form, ips := rackOf(t, 6)
	later := atomic.Int64{}
	began := time.Now()
	c := newCrawler(func() time.Time { return began.Add(time.Duration(later.Load())) })
	q := sprout.CrawlQuestion{Addresses: ips, Redfish: form, Username: "admin"}
	count := func(found []sprout.FoundBMC) string {
		n := map[sprout.CrawlState]int{}
		for _, f := range found {
			n[f.State]++
			if strings.Contains(fmt.Sprintf("%+v", f), "wrong horse") {
				t.Errorf("the password is shown: %+v", f)
			}
		}
		return fmt.Sprintf("%d refused, %d untried, %d read", n[sprout.BMCRefused], n[sprout.BMCUntried], n[sprout.BMCRead])
	}
	if got := count(c.Look(t.Context(), q, "wrong horse", nobodys)); got != "3 refused, 3 untried, 0 read" {
		t.Errorf("first %s", got)
	}
	if got := count(c.Look(t.Context(), q, "wrong horse", nobodys)); got != "0 refused, 6 untried, 0 read" {
		t.Errorf("then %s", got)
	}
	later.Store(int64(20 * time.Minute)) // they have rested, but not where they were refused
	if got := count(c.Look(t.Context(), q, "wrong horse", nobodys)); got != "1 refused, 5 untried, 0 read" {
		t.Errorf("after 20 minutes %s", got)
	}
	if got := count(c.Look(t.Context(), q, password, nobodys)); got != "0 refused, 0 untried, 6 read" {
		t.Errorf("the right ones: %s", got)
	}
}

// A certificate of no authority that is trusted costs nobody their password.
func TestCertificatesAreTrustedFirst(t *testing.T) {
	logins := atomic.Int64{}
	bmc := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost || r.Header.Get("Authorization") != "" {
			logins.Add(1)
		}
		chassis(w, r)
	}))
	bmc.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	bmc.StartTLS()
	defer bmc.Close()
	at := bmc.Listener.Addr().(*net.TCPAddr)
	q := sprout.CrawlQuestion{Addresses: []netip.Addr{at.AddrPort().Addr()}, Redfish: fmt.Sprintf("https://{address}:%d", at.Port), Username: "admin"}
	found := newCrawler(time.Now).Look(t.Context(), q, password, nobodys)
	if found[0].State != sprout.BMCUntrusted || logins.Load() != 0 {
		t.Errorf("found %+v after %d logins", found[0], logins.Load())
	}
	q.Insecure = true
	found = newCrawler(time.Now).Look(t.Context(), q, password, nobodys)
	if len(found[0].Systems) != 2 || found[0].Systems[0].MACs[0] != "52:54:00:31:03:01" || found[0].Systems[1].ID != "Node2" || found[0].Systems[1].SKU != "TAG2" || found[0].Systems[1].BMCFirmware != "7.1" {
		t.Errorf("a chassis of two nodes is %+v", found[0])
	}
}

// chassis is a BMC of two nodes, without sessions.
func chassis(w http.ResponseWriter, r *http.Request) {
	at := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/redfish/v1"), "/")
	answer, known := map[string]string{
		"":                                    `{"RedfishVersion": "1.8.0", "Vendor": "Acme", "Systems": {"@odata.id": "/redfish/v1/Systems"}}`,
		"/Systems":                            `{"Members": [{"@odata.id": "/redfish/v1/Systems/Node1"}, {"@odata.id": "/redfish/v1/Systems/Node2"}]}`,
		"/Systems/Node1":                      `{"Id": "Node1", "SerialNumber": "C1", "EthernetInterfaces": {"@odata.id": "/redfish/v1/Systems/Node1/EthernetInterfaces"}}`,
		"/Systems/Node1/EthernetInterfaces":   `{"Members": [{"@odata.id": "/redfish/v1/Systems/Node1/EthernetInterfaces/1"}, {"@odata.id": "/redfish/v1/Systems/Node1/EthernetInterfaces/gone"}]}`,
		"/Systems/Node1/EthernetInterfaces/1": `{"MACAddress": "525400310301"}`,
		"/Systems/Node2":                      `{"Id": "Node2", "SerialNumber": "C1", "SKU": "TAG2", "Links": {"ManagedBy": [{"@odata.id": "/redfish/v1/Managers/BMC"}]}}`,
		"/Managers/BMC":                       `{"FirmwareVersion": "7.1"}`,
	}[at]
	if !known {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write([]byte(answer))
}

// Where there is no Redfish, IPMI is looked for.
func TestByIPMI(t *testing.T) {
	bmc, err := ipmi.Open("127.0.0.1:0", ipmi.Machine{
		Power: func() sprout.PowerState { return sprout.PowerOn },
		On:    func(context.Context, power.BootDevice, sprout.BootMode) error { return nil }, Off: func(context.Context) error { return nil },
	}, "admin", password, ipmi.Faults{})
	if err != nil {
		t.Fatal(err)
	}
	defer bmc.Close()
	at := bmc.Addr.(*net.UDPAddr)
	q := sprout.CrawlQuestion{
		Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Redfish: "http://{address}:1", IPMI: fmt.Sprintf("ipmi://{address}:%d", at.Port), Username: "admin",
	}
	found := newCrawler(time.Now).Look(t.Context(), q, password, nobodys)
	if f := found[0]; f.State != sprout.BMCRead || f.Driver != "ipmi" || len(f.Systems) != 1 || f.Systems[0].Power != sprout.PowerOn {
		t.Errorf("found %+v", f)
	}
	if f := newCrawler(time.Now).Look(t.Context(), q, "wrong", nobodys)[0]; f.State != sprout.BMCRefused {
		t.Errorf("with another password %+v", f)
	}
}
