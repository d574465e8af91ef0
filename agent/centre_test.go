package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sprout"
	"sprout/bus"
)

const testToken = "single-use"

// A testCentre is a control plane as far as an agent can tell: it enrols, keeps
// the changes that it made, takes facts as the real one does, and serves images.
type testCentre struct {
	t      *testing.T
	config bus.Config
	web    *httptest.Server
	image  []byte

	mu      sync.Mutex
	server  *bus.Server
	centre  *bus.Centre
	stop    context.CancelFunc
	running sync.WaitGroup
	refuse  string // why the token is not good
	enrols  int
	sealKey string
	changes []sprout.Change
	applied int64
	facts   []sprout.Fact
	beats   int
	stuck   bool // it takes no facts
	// troubles are what the last heartbeat said.
	troubles []sprout.Trouble
	moved    chan struct{} // closed when a fact was taken or a heartbeat came
}

func freePort(t *testing.T, network string) uint16 {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // only its number was wanted
		return netip.MustParseAddrPort(c.LocalAddr().String()).Port()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // only its number was wanted
	return netip.MustParseAddrPort(l.Addr().String()).Port()
}

func newCentre(t *testing.T) *testCentre {
	t.Helper()
	keys, err := bus.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	c := &testCentre{
		t: t, image: []byte(strings.Repeat("an operating system ", 100_000)), moved: make(chan struct{}),
		config: bus.Config{
			Dir: t.TempDir(), Listen: fmt.Sprintf("127.0.0.1:%d", freePort(t, "tcp")),
			Keys: keys, Log: slog.New(slog.DiscardHandler),
		},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/agents/enrol", c.enrol)
	mux.HandleFunc("GET /v1/images/{digest}/content", c.content)
	c.web = httptest.NewServer(mux)
	t.Cleanup(c.web.Close)
	c.connect()
	t.Cleanup(c.cut)
	return c
}

// connect starts the bus; cut stops it, as a WAN cut looks to the agent.
func (c *testCentre) connect() {
	c.t.Helper()
	server, err := bus.StartServer(c.config)
	if err != nil {
		c.t.Fatal(err)
	}
	centre, err := bus.ConnectCentre(c.t.Context(), bus.CentreConfig{Server: server, Keys: c.config.Keys, Log: c.config.Log})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := centre.AddSite(c.t.Context(), "sit_1"); err != nil {
		c.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	c.mu.Lock()
	c.server, c.centre, c.stop = server, centre, stop
	c.mu.Unlock()
	c.running.Go(func() {
		if err := centre.ConsumeFacts(ctx, c.take); err != nil {
			c.t.Error(err)
		}
	})
	c.running.Go(func() {
		if err := centre.ConsumeBeats(ctx, func(newest []sprout.Beat) {
			for _, b := range newest {
				c.repair(ctx, centre, b.Heartbeat)
			}
		}); err != nil {
			c.t.Error(err)
		}
	})
}

func (c *testCentre) cut() {
	if c.stop == nil {
		return
	}
	c.stop()
	c.running.Wait()
	c.centre.Close()
	c.server.Close(context.Background())
	c.stop = nil
}

func (c *testCentre) enrol(w http.ResponseWriter, r *http.Request) {
	var in map[string]any
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.enrols++; c.refuse != "" || in["token"] != testToken || c.enrols > 1 {
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(map[string]string{"detail": "cannot enrol with this token: " + c.refuse})
		return
	}
	token, err := c.config.Keys.UserJWT("sit_1", "agt_1", fmt.Sprint(in["publicKey"]))
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	c.sealKey = fmt.Sprint(in["sealKey"])
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"agent": sprout.Agent{ID: "agt_1", Site: "sit_1"}, "site": sprout.Site{ID: "sit_1", Name: "lon1"},
		"bus": map[string]string{"url": "nats://" + c.config.Listen, "jwt": token}, "token": "for-images",
	})
}

func (c *testCentre) content(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer for-images" {
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(c.image)))
}

func (c *testCentre) imageNoun() sprout.Image {
	sum := sha256.Sum256(c.image)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	return sprout.Image{Name: "debian-12", Digest: digest, Bytes: int64(len(c.image)), Compression: "none", RawDigest: digest, RawBytes: int64(len(c.image))}
}

// take takes facts as the real centre does: each once, none before its turn.
func (c *testCentre) take(_ context.Context, site sprout.SiteID, facts []sprout.Fact) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stuck {
		return 0, sprout.Errorf(sprout.Unavailable, "cannot take facts now")
	}
	for i, f := range facts {
		last := int64(len(c.facts))
		if f.Seq > last+1 {
			return i, fmt.Errorf("fact %d of %s came after %d", f.Seq, site, last)
		}
		if f.Seq == last+1 {
			c.facts = append(c.facts, f)
			c.tell()
		}
	}
	return len(facts), nil
}

// repair sends what a heartbeat shows to be missing, as the real centre does.
func (c *testCentre) repair(ctx context.Context, centre *bus.Centre, b sprout.Heartbeat) {
	c.mu.Lock()
	stuck := b.Applied == c.applied // no progress since the last one
	c.applied, c.troubles = b.Applied, b.Troubles
	c.beats++
	missing := c.changes[b.Applied:]
	c.tell()
	c.mu.Unlock()
	if !stuck {
		return
	}
	for _, change := range missing {
		if err := centre.Republish(ctx, "sit_1", change); err != nil {
			return
		}
	}
}

func (c *testCentre) tell() {
	close(c.moved)
	c.moved = make(chan struct{})
}

// change makes a change; publish false leaves it to the repair.
func (c *testCentre) change(publish bool, kind sprout.ChangeKind, key string, v any) {
	c.t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	change := sprout.Change{Seq: int64(len(c.changes) + 1), Kind: kind, Key: key, Body: raw, Deleted: v == nil && kind != sprout.ChangeCancel}
	c.changes = append(c.changes, change)
	centre := c.centre
	c.mu.Unlock()
	if !publish {
		return
	}
	if err := centre.Publish(c.t.Context(), "sit_1", change); err != nil {
		c.t.Fatal(err)
	}
}

// await waits until the facts and heartbeats so far satisfy done.
func (c *testCentre) await(what string, done func(facts []sprout.Fact, applied int64) bool) {
	c.t.Helper()
	limit := time.After(60 * time.Second)
	for {
		c.mu.Lock()
		ok, moved := done(c.facts, c.applied), c.moved
		c.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-moved:
		case <-limit:
			for _, f := range c.taken() {
				c.t.Logf("fact %d %s %s %s", f.Seq, f.Kind, f.Work, f.Body)
			}
			c.t.Fatalf("%s did not happen in 60 s", what)
		}
	}
}

// taken returns the facts so far.
func (c *testCentre) taken() []sprout.Fact {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.facts)
}

// awaitEnd waits until work has ended and returns how.
func (c *testCentre) awaitEnd(work string) (result sprout.WorkResult) {
	c.t.Helper()
	c.await("the end of "+work, func(facts []sprout.Fact, _ int64) bool {
		for _, f := range facts {
			if f.Kind == sprout.FactWorkEnded && f.Work == work {
				if err := json.Unmarshal(f.Body, &result); err != nil {
					c.t.Fatal(err)
				}
				return true
			}
		}
		return false
	})
	return result
}

// agentConfig is that of an agent on the loopback.
func (c *testCentre) agentConfig() Config {
	c.t.Helper()
	dir := c.t.TempDir()
	return Config{
		DataDir: filepath.Join(dir, "data"), Server: c.web.URL, Token: testToken, Name: "test",
		Address:   netip.MustParsePrefix("127.0.0.1/8"),
		Ports:     Ports{DHCP: freePort(c.t, "udp"), DHCPClient: freePort(c.t, "udp"), TFTP: freePort(c.t, "udp"), HTTP: freePort(c.t, "tcp"), DNS: freePort(c.t, "udp")},
		BootFiles: dir, RamdiskDir: dir, Status: fmt.Sprintf("127.0.0.1:%d", freePort(c.t, "tcp")),
		Log: slog.New(slog.NewTextHandler(c.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}
