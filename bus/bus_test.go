package bus

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"sprout"
)

// hub is an embedded server that can be stopped and started again in place.
type hub struct {
	t      *testing.T
	config Config
	server *Server
}

func newKeys(t *testing.T) Keys {
	t.Helper()
	keys, err := NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func startHub(t *testing.T) *hub {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	h := &hub{t: t, config: Config{Dir: t.TempDir(), Listen: at, Keys: newKeys(t), Log: slog.New(slog.DiscardHandler)}}
	h.start()
	t.Cleanup(h.stop)
	return h
}

func (h *hub) start() {
	h.t.Helper()
	var err error
	if h.server, err = StartServer(h.config); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hub) stop() {
	if h.server != nil {
		h.server.Close(context.Background())
		h.server = nil
	}
}

// centre connects over the network, so that it can outlive the server.
func (h *hub) centre() *Centre {
	h.t.Helper()
	c, err := ConnectCentre(h.t.Context(), CentreConfig{URL: h.server.URL(), Keys: h.config.Keys, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(c.Close)
	return c
}

// credential is what an agent of a site holds.
func (h *hub) credential(site sprout.SiteID) (token string, seed []byte, public string) {
	h.t.Helper()
	user, err := nkeys.CreateUser()
	if err != nil {
		h.t.Fatal(err)
	}
	if public, err = user.PublicKey(); err != nil {
		h.t.Fatal(err)
	}
	if seed, err = user.Seed(); err != nil {
		h.t.Fatal(err)
	}
	if token, err = h.config.Keys.UserJWT(site, agentAt(site), public); err != nil {
		h.t.Fatal(err)
	}
	return token, seed, public
}

func (h *hub) site(id sprout.SiteID) *Site {
	h.t.Helper()
	token, seed, _ := h.credential(id)
	s, err := ConnectSite(SiteConfig{URL: h.server.URL(), Site: id, Agent: agentAt(id), JWT: token, Seed: seed, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(s.Close)
	return s
}

// run runs a consumer until the test or stop ends it.
func run(t *testing.T, consume func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- consume(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("consumer ended with %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// next receives, or fails after some seconds.
func next[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("no %s in 20 s", what)
		panic("unreachable")
	}
}

// agentAt is the agent of a site in these tests.
func agentAt(site sprout.SiteID) sprout.AgentID { return "agt_" + sprout.AgentID(site) }

func change(seq int64) sprout.Change {
	return sprout.Change{Seq: seq, Kind: sprout.ChangeRecord, Key: "k", Body: json.RawMessage(`{}`)}
}

func fact(seq int64) sprout.Fact {
	return sprout.Fact{Seq: seq, Kind: sprout.FactPower, Body: json.RawMessage(`"on"`)}
}
