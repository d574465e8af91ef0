package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"sprout"
	"sprout/bus"
	"sprout/health"
	"sprout/power"
	"sprout/power/redfish/emulator"
)

const testMAC = "52:54:00:00:00:01"

var bootNetwork = emulator.Boot{Device: power.BootNetwork}

// childEnv holds the configuration of an agent that a child of the tests is to
// be: one that can be killed.
const childEnv = "SPROUT_TEST_AGENT"

func TestMain(m *testing.M) {
	raw := os.Getenv(childEnv)
	if raw == "" {
		os.Exit(m.Run())
	}
	var c Config
	err := json.Unmarshal([]byte(raw), &c)
	if err == nil {
		c.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
		err = Run(context.Background(), c)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// runAgent runs an agent in this process until the test ends.
func runAgent(t *testing.T, c Config) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, c) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the agent ended: %v", err)
		}
	})
}

// startAgent runs an agent in a process of its own; kill kills it.
func startAgent(t *testing.T, c Config) (kill func()) {
	t.Helper()
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+string(raw), tokenEnv+"="+c.Token)
	child.Stderr = t.Output()
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	kill = func() {
		if killed {
			return
		}
		killed = true
		if err := child.Process.Kill(); err != nil {
			t.Errorf("agent had ended by itself: %v", err)
		}
		_ = child.Wait() // says only that it was killed
	}
	t.Cleanup(kill)
	return kill
}

// introduce tells the site about itself and about one machine, and returns it.
// Its address is the one that its requests come from.
func introduce(t *testing.T, c *testCentre, config Config) *testMachine {
	t.Helper()
	c.change(true, sprout.ChangeSite, "sit_1", sprout.Site{ID: "sit_1", Name: "lon1", Domain: "lon1.example"})
	c.change(true, sprout.ChangeSubnet, "sub_1", sprout.Subnet{ID: "sub_1", CIDR: netip.MustParsePrefix("127.0.0.0/8"), Discover: true})
	c.await("replication", func(_ []sprout.Fact, applied int64) bool { return applied == 2 })
	m := newMachine(t, config.url(netip.Addr{}), testMAC)
	secret, err := bus.Seal(c.sealKey, []byte("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	c.change(true, sprout.ChangeReservation, testMAC, sprout.Reservation{MAC: testMAC, IP: netip.MustParseAddr("127.0.0.1"), Machine: "mch_1"})
	c.change(true, sprout.ChangeMachine, "mch_1", sprout.SiteMachine{
		ID: "mch_1", Name: "web-01", Generation: 1, MACs: []string{testMAC}, Secret: secret,
		BMC: &sprout.BMC{Driver: "redfish", URL: m.bmc.URL, Username: "admin"},
	})
	return m
}

func deployWork(c *testCentre, id string, generation int64) sprout.Work {
	raw, err := json.Marshal(sprout.DeployWork{Image: c.imageNoun(), Hostname: "web-01.lon1.example"})
	if err != nil {
		c.t.Fatal(err)
	}
	return sprout.Work{ID: id, Kind: "deploy", Machine: "mch_1", Generation: generation, Deadline: time.Now().Add(time.Hour), Input: raw}
}

// The agent is killed and the centre is cut off at every order of a deploy.
// The machine is installed all the same, and every fact arrives once, in order.
func TestDeployThroughKillsAndCuts(t *testing.T) {
	c := newCentre(t)
	config := c.agentConfig()
	kill := startAgent(t, config)
	m := introduce(t, c, config)
	seen := map[sprout.OrderKind]bool{}
	m.on = func(o sprout.Order) {
		if seen[o.Kind] {
			return
		}
		seen[o.Kind] = true
		kill()
		c.cut()
		kill = startAgent(t, config)
		if o.Kind == sprout.OrderReboot {
			c.connect()
			return
		}
		defer c.connect()
		if status, _ := m.try(t.Context(), http.MethodGet, config.url(netip.Addr{})+"/ramdisk/order", "stolen", nil); status == http.StatusOK {
			t.Error("a made-up token got an order")
		}
	}
	c.change(true, sprout.ChangeWork, "wfl_1/1", deployWork(c, "wfl_1/1", 1))
	if got := c.awaitEnd("wfl_1/1"); got.State != sprout.Succeeded {
		t.Fatalf("the work ended as %s: %v", got.State, got.Failure)
	}
	if !seen[sprout.OrderWrite] || !seen[sprout.OrderReboot] {
		t.Errorf("orders seen: %v", seen)
	}
	if c.enrols != 1 {
		t.Errorf("the agent enrolled %d times", c.enrols)
	}
	want := "take-machine fetch-image probe-addresses set-boot-intent power-on boot-ramdisk eject-media take-turn write-image boot-disk phone-home"
	c.await("the record of the last step", func(facts []sprout.Fact, _ int64) bool {
		return strings.HasSuffix(stepsDone(facts), "phone-home")
	})
	if got := stepsDone(c.taken()); got != want {
		t.Errorf("steps done: %s\nwant: %s", got, want)
	}
	c.misuse(m, config)
}

// stepsDone names the steps that facts say are done.
func stepsDone(facts []sprout.Fact) string {
	var steps []string
	for _, f := range facts {
		var rec sprout.StepRecord
		if f.Kind == sprout.FactStep && json.Unmarshal(f.Body, &rec) == nil && rec.Outcome == "done" {
			steps = append(steps, rec.Name)
		}
	}
	return strings.Join(steps, " ")
}

// misuse tries what is over and what is not meant, against a site where the
// machine was just deployed.
func (c *testCentre) misuse(m *testMachine, config Config) {
	url := config.url(netip.Addr{})
	old, home := m.tokens[len(m.tokens)-1], m.homes[len(m.homes)-1]
	homeToken := home[strings.LastIndex(home, "/")+1:]
	for _, try := range []struct {
		name, method, path, token string
		body                      any
		want                      int
	}{
		{"no token", "GET", "/ramdisk/order", "", nil, 401},
		{"token of an attempt that is over", "GET", "/ramdisk/order", old, nil, 403},
		{"image with a token that is over", "GET", "/images/" + c.imageNoun().Digest, old, nil, 403},
		{"phone-home's token as a ramdisk's", "GET", "/ramdisk/order", homeToken, nil, 403},
		{"phone-home again", "POST", strings.TrimPrefix(home, url), "", nil, 403},
		{"ramdisk's token as phone-home's", "POST", "/phone-home/att_1/" + old, "", nil, 403},
		{"tools without a token", "GET", sprout.ToolsPath, "", nil, 401},
		{"tools of layouts without a token", "GET", sprout.LayoutToolsPath, "", nil, 401},
		{"a test with a token that is over", "GET", sprout.TestPath + c.imageNoun().Digest, old, nil, 403},
		{"payload without a token", "GET", "/ramdisk/payload?bytes=10", "", nil, 401},
		{"no such path", "GET", "/metrics", "", nil, 404},
	} {
		if got, body := m.try(c.t.Context(), try.method, url+try.path, try.token, try.body); got != try.want {
			c.t.Errorf("%s: got %d (%s), want %d", try.name, got, body, try.want)
		}
	}
}

func TestUnknownMachineIsDiscovered(t *testing.T) {
	c := newCentre(t)
	config := c.agentConfig()
	startAgent(t, config)
	m := introduce(t, c, config)
	stranger := newMachine(t, config.url(netip.Addr{}), "52:54:00:00:00:99")
	c.change(true, sprout.ChangeReservation, stranger.mac, sprout.Reservation{MAC: stranger.mac, IP: netip.MustParseAddr("127.0.0.1")})
	c.await("replication", func(_ []sprout.Fact, applied int64) bool { return applied == 5 })
	asked := make(chan struct{})
	var once sync.Once
	stranger.on = func(o sprout.Order) {
		defer once.Do(func() { close(asked) })
		token := stranger.tokens[0]
		for path, want := range map[string]int{
			"/ramdisk/payload?bytes=100000": 200, "/ramdisk/payload?bytes=67108865": 422, "/ramdisk/payload?bytes=-1": 422,
			"/images/" + c.imageNoun().Digest: 403,                                                                                          // it was ordered to write nothing
			sprout.LayoutToolsPath:            403,                                                                                          // nor to make a layout
			sprout.ToolsPath:                  403, sprout.TestPath + c.imageNoun().Digest: 403, sprout.TestPath + "..%2f..%2fsite.db": 403, // nor to test
		} {
			if got, body := m.try(t.Context(), http.MethodGet, config.url(netip.Addr{})+path, token, nil); got != want || want == 200 && len(body) != 100000 {
				t.Errorf("%s: got %d, %d bytes, want %d", path, got, len(body), want)
			}
		}
		for name, report := range map[string]any{
			"unknown field":  map[string]any{"order": o.ID, "outcome": "done", "shell": "rm"},
			"no outcome":     sprout.Report{Order: o.ID, Outcome: "perhaps"},
			"too large":      map[string]any{"order": strings.Repeat("x", maxReport+1), "outcome": "done"},
			"another report": []int{1},
		} {
			if got, _ := m.try(t.Context(), http.MethodPost, config.url(netip.Addr{})+"/ramdisk/report", token, report); got != 422 {
				t.Errorf("%s: got %d, want 422", name, got)
			}
		}
		if got, _ := m.try(t.Context(), http.MethodPost, config.url(netip.Addr{})+"/ramdisk/report", token, sprout.Report{Order: "other", Outcome: "done"}); got != 409 {
			t.Errorf("report of another order: got %d, want 409", got)
		}
	}
	if err := stranger.PowerOn(t.Context(), bootNetwork); err != nil {
		t.Fatal(err)
	}
	discovered := func(facts []sprout.Fact) (n int, d sprout.DiscoveredFact) {
		for _, f := range facts {
			if f.Kind == sprout.FactDiscovered {
				n++
				if err := json.Unmarshal(f.Body, &d); err != nil {
					t.Fatal(err)
				}
			}
		}
		return n, d
	}
	c.await("discovery", func(facts []sprout.Fact, _ int64) bool { n, _ := discovered(facts); return n > 0 })
	<-asked
	if n, d := discovered(c.taken()); n != 1 || d.BootMAC != stranger.mac || d.Inventory.Serial != "S1" {
		t.Errorf("discovered %d times: %+v", n, d)
	}
	if err := errors.Join(stranger.PowerOff(t.Context()), stranger.PowerOn(t.Context(), bootNetwork)); err != nil {
		t.Fatal(err)
	}
	c.await("discovery at the next boot", func(facts []sprout.Fact, _ int64) bool { n, _ := discovered(facts); return n == 2 })
}

// An agent that was away does not take its own silence for the ramdisk's.
func TestSilenceIsCountedFromTheStart(t *testing.T) {
	clock := health.NewClock()
	s := &site{started: clock.Now(), clock: clock}
	if at, ok := s.LastSeen("att_1"); !ok || !at.Equal(s.started) {
		t.Errorf("got %v, %v", at, ok)
	}
	s.saw("att_1")
	if at, ok := s.LastSeen("att_1"); !ok || !at.After(s.started) {
		t.Errorf("got %v, %v", at, ok)
	}
}

func TestRepairAndRefusedWork(t *testing.T) {
	c := newCentre(t)
	config := c.agentConfig()
	startAgent(t, config)
	introduce(t, c, config)
	c.change(false, sprout.ChangeRecord, "a 10.0.0.1", sprout.Record{Name: "a.lon1.example", IP: netip.MustParseAddr("10.0.0.1")}) // lost
	c.change(true, sprout.ChangeRecord, "b 10.0.0.2", sprout.Record{Name: "b.lon1.example", IP: netip.MustParseAddr("10.0.0.2")})
	c.await("repair", func(_ []sprout.Fact, applied int64) bool { return applied == 6 })

	late := deployWork(c, "wfl_late/1", 7)
	late.Deadline = time.Now().Add(-time.Minute)
	c.change(true, sprout.ChangeWork, late.ID, late)
	if got := c.awaitEnd(late.ID); got.State != sprout.FailedRun || got.Failure.Code != sprout.StepTimeout {
		t.Errorf("late work: %+v", got)
	}
	alien := deployWork(c, "wfl_alien/1", 7)
	alien.Kind = "teleport"
	c.change(true, sprout.ChangeWork, alien.ID, alien)
	if got := c.awaitEnd(alien.ID); got.State != sprout.FailedRun || got.Failure.Code != sprout.UnknownStep {
		t.Errorf("work of an unknown kind: %+v", got)
	}
	nobody := deployWork(c, "wfl_new/1", 8)
	nobody.Machine = "mch_none"
	c.change(true, sprout.ChangeWork, nobody.ID, nobody)
	older := deployWork(c, "wfl_old/1", 7)
	older.Machine = "mch_none"
	c.change(true, sprout.ChangeWork, older.ID, older)
	if got := c.awaitEnd(older.ID); got.State != sprout.FailedRun || !strings.Contains(got.Failure.Reason, "newer work") {
		t.Errorf("older work: %+v", got)
	}
	c.change(true, sprout.ChangeCancel, nobody.ID, nil)
	if got := c.awaitEnd(nobody.ID); got.State == sprout.Succeeded {
		t.Errorf("cancelled work: %+v", got)
	}
	c.change(true, sprout.ChangeWork, nobody.ID, nobody) // a repeat starts nothing
	c.await("the repeat", func(_ []sprout.Fact, applied int64) bool { return applied == int64(len(c.changes)) })
}

func TestEnrolmentIsExplained(t *testing.T) {
	c := newCentre(t)
	c.refuse = "it expired at 12:00"
	err := Run(t.Context(), c.agentConfig())
	if sprout.KindOf(err) != sprout.Denied || !strings.Contains(err.Error(), "it expired at 12:00") {
		t.Errorf("got %v", err)
	}
	config := c.agentConfig()
	config.Token = ""
	t.Setenv(tokenEnv, "")
	if err := Run(t.Context(), config); sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("without a token: got %v", err)
	}
}

func TestRunStopsWhatItStarted(t *testing.T) {
	c := newCentre(t)
	config := c.agentConfig()
	for range 2 { // the second time it is enrolled, and its files are free again
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- Run(ctx, config) }()
		for {
			if resp, err := http.Get("http://" + config.Status + "/healthz"); err == nil {
				var status Status
				if err := json.NewDecoder(resp.Body).Decode(&status); err != nil || status.Agent != "agt_1" {
					t.Errorf("status: %+v, %v", status, err)
				}
				_ = resp.Body.Close()
				break
			}
			_ = sprout.Pause(ctx, 10*time.Millisecond)
		}
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the agent did not stop in 10 s")
		}
	}
	if c.enrols != 1 {
		t.Errorf("enrolled %d times", c.enrols)
	}
}

func TestConfigIsValidated(t *testing.T) {
	good := Config{DataDir: t.TempDir(), Server: "http://centre", Address: netip.MustParsePrefix("10.0.0.1/24"), BootFiles: t.TempDir(), RamdiskDir: t.TempDir()}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for field, spoil := range map[string]func(*Config){
		"dataDir":          func(c *Config) { c.DataDir = "" },
		"server":           func(c *Config) { c.Server = "centre" },
		"address":          func(c *Config) { c.Address = netip.Prefix{} },
		"interface":        func(c *Config) { c.Interface = "a b" },
		"ramdiskDir":       func(c *Config) { c.RamdiskDir = "/nonexistent" },
		"bootFiles":        func(c *Config) { c.BootFiles = "/nonexistent" },
		"status":           func(c *Config) { c.Status = "0.0.0.0:80" },
		"images.bandwidth": func(c *Config) { c.Images.Bandwidth = -1 },
		"images.atOnce":    func(c *Config) { c.Images.AtOnce = -2 },
		"dhcp.provider":    func(c *Config) { c.DHCP.Provider = "dnsmasq" },
		"dhcp.kea":         func(c *Config) { c.DHCP.Kea.TakeOver = true },
		"dns.provider":     func(c *Config) { c.DNS.Provider = "dnsmasq" },
		"dns.powerdns":     func(c *Config) { c.DNS.PowerDNS.TakeOver = true },

		"dns.powerdns.url":     func(c *Config) { c.DNS.Provider = "powerdns" },
		"dns.powerdns.keyFile": func(c *Config) { c.DNS = DNS{"powerdns", PowerDNS{URL: "http://127.0.0.1:8081"}} },
	} {
		bad := good
		spoil(&bad)
		if err := bad.Validate(); err == nil || !strings.HasPrefix(err.Error(), field+": ") {
			t.Errorf("%s: got %v", field, err)
		}
	}
}

func TestLongSilenceIsForgotten(t *testing.T) {
	var seen lastSeen
	began := time.Now()
	seen.note("att_old", began)
	seen.note("att_new", began.Add(keepSeen))
	seen.forget(began.Add(time.Second))
	if _, ok := seen.of("att_old"); ok {
		t.Error("an attempt that is long silent is remembered")
	}
	if at, ok := seen.of("att_new"); !ok || !at.Equal(began.Add(keepSeen)) {
		t.Errorf("of one that spoke since: %v, %v", at, ok)
	}
}
