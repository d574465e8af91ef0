package agent

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"sprout"
	"sprout/bus"
	"sprout/faults/full"
	"sprout/health"
	"sprout/sitestore"
	"sprout/trust"
)

// says waits until the agent's heartbeats say a trouble, or say it no more.
func (c *testCentre) says(code sprout.Code, yes bool) {
	c.t.Helper()
	c.await(fmt.Sprintf("a heartbeat with %s (%t)", code, yes), func([]sprout.Fact, int64) bool {
		return slices.ContainsFunc(c.troubles, func(t sprout.Trouble) bool { return t.Code == code }) == yes
	})
}

// A full disk stops what must be kept before it is answered, and nothing else: the
// agent lives, says so, and goes on by itself once there is room.
func TestAFullDiskHeals(t *testing.T) {
	c := newCentre(t)
	config := c.agentConfig()
	dir := full.Disk(t, 128<<20)
	config.DataDir, config.LeastFree = filepath.Join(dir, "data"), 16<<20
	runAgent(t, config)
	introduce(t, c, config)
	c.await("the machine", func(_ []sprout.Fact, applied int64) bool { return applied == 4 })
	free := full.Fill(t, dir)
	c.says(sprout.DiskFull, true)
	// Work reaches a site that cannot keep it: it waits at the hub.
	c.change(true, sprout.ChangeWork, "wfl_1/1", deployWork(c, "wfl_1/1", 1))
	free()
	c.says(sprout.DiskFull, false)
	if got := c.awaitEnd("wfl_1/1"); got.State != sprout.Succeeded {
		t.Errorf("the work ended as %s: %v", got.State, got.Failure)
	}
}

// A lease that cannot be kept is not given, and those of before stay.
func TestALeaseIsNotGivenOnAFullDisk(t *testing.T) {
	dir := full.Disk(t, 32<<20)
	store, err := sitestore.Open(filepath.Join(dir, "site.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	lease := func(n int) sprout.Lease {
		return sprout.Lease{Subnet: "sub_1", IP: netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), MAC: fmt.Sprintf("52:54:00:00:%02x:%02x", n>>8, n&255), State: "bound"}
	}
	if err := store.SaveLeases(t.Context(), lease(0)); err != nil {
		t.Fatal(err)
	}
	free := full.Fill(t, dir)
	given := 0
	for n := 1; given < 1<<16; n++ {
		if err = store.SaveLeases(t.Context(), lease(n)); err != nil {
			break
		}
		given = n
	}
	if sprout.KindOf(err) != sprout.Unavailable {
		t.Fatalf("lease %d on a full disk: %v", given+1, err)
	}
	free()
	if err := store.SaveLeases(t.Context(), lease(given+1)); err != nil {
		t.Errorf("there is room again: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if store, err = sitestore.Open(filepath.Join(dir, "site.db"), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	defer store.Close() //nolint:errcheck // only read
	if got := len(store.Leases()); got != given+2 {
		t.Errorf("%d leases were acknowledged, %d are there", given+2, got)
	}
}

// The host's clock is set a day ahead in the middle of a deploy. No deadline
// passes; the agent says so until the clock is right again.
func TestAClockThatJumpsEndsNothing(t *testing.T) {
	c := newCentre(t)
	config := c.agentConfig()
	var jumped atomic.Int64
	began := time.Now()
	config.Clock = health.ClockOf(func() time.Time { return time.Now().Round(0).Add(time.Duration(jumped.Load())) }, func() time.Duration { return time.Since(began) })
	runAgent(t, config)
	m := introduce(t, c, config)
	m.on = func(o sprout.Order) {
		if o.Kind == sprout.OrderWrite {
			jumped.Store(int64(24 * time.Hour))
			c.says(sprout.ClockWrong, true)
		}
	}
	c.change(true, sprout.ChangeWork, "wfl_1/1", deployWork(c, "wfl_1/1", 1))
	if got := c.awaitEnd("wfl_1/1"); got.State != sprout.Succeeded {
		t.Errorf("the work ended as %s: %v", got.State, got.Failure)
	}
	jumped.Store(0)
	c.says(sprout.ClockWrong, false)
}

// A clock that the control plane confirms is right, however it jumped.
func TestAClockThatWasSetRightIsAdopted(t *testing.T) {
	var centreOff, times atomic.Int64
	centre := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		times.Add(1)
		w.Header().Set("Date", time.Now().Add(time.Duration(centreOff.Load())).UTC().Format(http.TimeFormat))
	}))
	defer centre.Close()
	wall := time.Now().Add(-time.Hour) // it was wrong when the agent started
	s := &site{
		config: Config{Server: centre.URL}, centre: centre.Client(), log: slog.New(slog.DiscardHandler),
		clock:    health.ClockOf(func() time.Time { return wall }, func() time.Duration { return 0 }),
		troubles: &health.Troubles{Log: slog.New(slog.DiscardHandler)},
	}
	wall = time.Now()
	centreOff.Store(int64(time.Hour))
	s.lookAtClock(t.Context())
	if list, _ := s.troubles.List(); len(list) != 1 || list[0].Code != sprout.ClockWrong || !s.clock.Now().Before(wall) {
		t.Errorf("the control plane says another time: %+v, and it is %s", list, s.clock.Now())
	}
	s.lookAtClock(t.Context())
	if times.Load() != 1 {
		t.Errorf("the control plane was asked %d times about one jump", times.Load())
	}
	centreOff.Store(0)
	s.asked.at = s.asked.at.Add(-askAgain)
	s.lookAtClock(t.Context())
	if list, _ := s.troubles.List(); len(list) != 0 || !s.clock.Now().Equal(wall) {
		t.Errorf("the control plane says the same: %+v, and it is %s", list, s.clock.Now())
	}
}

// A hub whose stream is at its limit takes no facts: the site keeps them, says
// so, and sends them in order once there is room. (The test's centre refuses a fact
// that is not the next.)
func TestAFullStreamHeals(t *testing.T) {
	c := newCentre(t)
	config := c.agentConfig()
	startAgent(t, config)
	c.await("the agent", func([]sprout.Fact, int64) bool { return c.beats > 0 })
	introduce(t, c, config)
	c.stick(true)
	c.limit(4 << 10)
	c.change(true, sprout.ChangeWork, "wfl_1/1", deployWork(c, "wfl_1/1", 1))
	c.says(sprout.BusFull, true)
	c.limit(0)
	c.says(sprout.BusFull, false)
	c.stick(false)
	if got := c.awaitEnd("wfl_1/1"); got.State != sprout.Succeeded {
		t.Errorf("the work ended as %s: %v", got.State, got.Failure)
	}
}

// An agent meets a certificate of the control plane that has run out: it goes on
// asking to be enrolled; later it says so by name, and its work waits and says for
// what. Once the certificate is renewed all goes on by itself.
func TestAnExpiredCertificateHeals(t *testing.T) {
	c := newCentre(t)
	authority, err := trust.NewAuthority(time.Now().Add(-48 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	var shown atomic.Pointer[tls.Certificate]
	show := func(from time.Time) {
		t.Helper()
		pair, err := authority.Issue([]string{"127.0.0.1"}, from, 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		shown.Store(&pair)
	}
	expired, good := time.Now().Add(-47*time.Hour), time.Now().Add(-time.Hour)
	asked := make(chan struct{}, 1000)
	web := httptest.NewUnstartedServer(c.web.Config.Handler)
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	web.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		asked <- struct{}{}
		return &tls.Config{Certificates: []tls.Certificate{*shown.Load()}}, nil
	}}
	web.StartTLS()
	t.Cleanup(web.Close)
	config := c.agentConfig()
	config.Server, config.CA = web.URL, filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(config.CA, authority.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	show(expired)
	runAgent(t, config)
	for range 2 { // it asks, and asks again
		<-asked
	}
	show(good)
	introduce(t, c, config)
	show(expired)
	web.CloseClientConnections()
	c.change(true, sprout.ChangeWork, "wfl_1/1", deployWork(c, "wfl_1/1", 1))
	c.says(sprout.CertificateExpired, true)
	show(good)
	c.says(sprout.CertificateExpired, false)
	if got := c.awaitEnd("wfl_1/1"); got.State != sprout.Succeeded {
		t.Errorf("the work ended as %s: %v", got.State, got.Failure)
	}
}

// stick has the centre take no facts, or take them again.
func (c *testCentre) stick(stuck bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stuck = stuck
}

// limit sets what the streams may hold, as an operator of the bus would; 0: the
// usual.
func (c *testCentre) limit(bytes int64) {
	c.t.Helper()
	centre, err := bus.ConnectCentre(c.t.Context(), bus.CentreConfig{Server: c.server, Keys: c.config.Keys, MaxBytes: bytes, Log: c.config.Log})
	if err != nil {
		c.t.Fatal(err)
	}
	centre.Close()
}
