package bus

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"sprout"
)

const (
	ours   sprout.SiteID = "sit_ours"
	theirs sprout.SiteID = "sit_theirs"
)

// An agent that was broken into has the connection of its own site and tries
// everything with it. What is done to other sites must have no effect.
func TestAgentCannotTouchAnotherSite(t *testing.T) {
	h := startHub(t)
	centre := h.centre()
	for _, site := range []sprout.SiteID{ours, theirs} {
		if err := centre.AddSite(t.Context(), site); err != nil {
			t.Fatal(err)
		}
	}
	if err := centre.Publish(t.Context(), theirs, change(1)); err != nil {
		t.Fatal(err)
	}
	if err := centre.Publish(t.Context(), ours, change(1)); err != nil {
		t.Fatal(err)
	}
	thief := h.site(ours)
	refused := make(chan error, 100)
	thief.conn.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err })

	for _, subj := range []string{
		"up.sit_theirs.agt_sit_theirs", "up.sit_theirs.agt_sit_ours", "up.sit_ours.agt_retired", "up.sit_ours",
		"down.sit_theirs", "down.sit_ours", "live.sit_theirs", "beat.sit_theirs",
		"$JS.API.CONSUMER.MSG.NEXT.down.sit_theirs", "$JS.API.CONSUMER.MSG.NEXT.up.centre",
		"$JS.ACK.down.sit_theirs.1.1.1.1.0", "$JS.API.STREAM.INFO.down", "$JS.API.STREAM.DELETE.down",
		"$JS.API.STREAM.MSG.GET.down", "$JS.API.DIRECT.GET.down", "$JS.API.STREAM.PURGE.up",
		"$JS.API.CONSUMER.CREATE.down.mine.down.sit_theirs", "$JS.API.CONSUMER.DURABLE.CREATE.down.mine",
		"$JS.API.CONSUMER.INFO.down.sit_theirs", "$JS.API.CONSUMER.DELETE.down.sit_theirs",
		"$SYS.REQ.SERVER.PING", "$SYS.REQ.CLAIMS.UPDATE", "_INBOX_sit_theirs.x", "_INBOX.x",
	} {
		t.Run("publish "+subj, func(t *testing.T) {
			if err := thief.conn.PublishRequest(subj, inboxPrefix(ours)+".x", []byte(`{"seq":99}`)); err != nil {
				t.Fatal(err)
			}
			if err := next(t, refused, "refusal"); !strings.Contains(err.Error(), `"`+subj+`"`) {
				t.Errorf("refusal is about something else: %v", err)
			}
		})
	}
	for _, subj := range []string{
		">", "*.*", "down.>", "down.sit_ours", "down.sit_theirs", "up.*.*", "up.sit_ours.agt_sit_ours", "live.*", "beat.*",
		"_INBOX_sit_theirs.>", "_INBOX.>", "_INBOX_*.>", "$JS.>", "$SYS.>", "_R_.>",
	} {
		t.Run("subscribe "+subj, func(t *testing.T) {
			if _, err := thief.conn.SubscribeSync(subj); err != nil {
				t.Fatal(err)
			}
			if err := next(t, refused, "refusal"); !strings.Contains(err.Error(), `"`+subj+`"`) {
				t.Errorf("refusal is about something else: %v", err)
			}
		})
	}
	if info, err := centre.js.Stream(t.Context(), downStream); err != nil || info.CachedInfo().State.Msgs != 2 {
		t.Errorf("stream down was changed: %v, %v", info, err)
	}
}

// NATS does not check the subject of a reply, so an agent can have JetStream
// answer onto any subject. Neither the streams nor other sites may suffer.
func TestAgentCannotReachAnotherSiteByReplies(t *testing.T) {
	h := startHub(t)
	centre := h.centre()
	for _, site := range []sprout.SiteID{ours, theirs} {
		if err := centre.AddSite(t.Context(), site); err != nil {
			t.Fatal(err)
		}
	}
	facts := make(chan sprout.Fact, 100)
	run(t, func(ctx context.Context) error {
		return centre.ConsumeFacts(ctx, oneByOne(func(_ context.Context, site sprout.SiteID, f sprout.Fact) error {
			if site == theirs {
				facts <- f
			}
			return nil
		}))
	})
	changes := make(chan sprout.Change, 100)
	victim := h.site(theirs)
	run(t, func(ctx context.Context) error {
		return victim.Changes(ctx, OneByOne(func(_ context.Context, c sprout.Change) error { changes <- c; return nil }))
	})

	held := pullOne(t, h, centre, "sit_third")
	thief := h.site(ours)
	for _, reply := range []string{
		held.Reply, "down.sit_theirs", "up.sit_theirs.agt_sit_theirs", "live.sit_theirs", "beat.sit_theirs",
		"$JS.API.STREAM.PURGE.down", "$JS.API.STREAM.DELETE.down", "$JS.API.STREAM.DELETE.up",
		"$JS.API.CONSUMER.DELETE.down.sit_theirs", "$JS.API.CONSUMER.DELETE.up.centre",
		nextSubject(theirs), "$JS.ACK.down.sit_theirs.1.2.2.1.0", "_INBOX_sit_theirs.x",
	} {
		if err := centre.Publish(t.Context(), ours, change(time.Now().UnixNano())); err != nil {
			t.Fatal(err)
		}
		attack := func(subj, body string) {
			if err := thief.conn.PublishRequest(subj, reply, []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
		attack("up.sit_ours.agt_sit_ours", `{"seq":7}`)            // answered by a PubAck
		attack(nextSubject(ours), `{"batch":1,"no_wait":true}`)    // by a message
		attack(nextSubject(ours), `{"batch":5,"no_wait":true}`)    // by a status without a body
		attack(nextSubject(ours), `{"batch":1,"expires":1000000}`) // by a time-out
	}
	if err := thief.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	consumer, err := centre.js.Consumer(t.Context(), downStream, "sit_third")
	if err != nil {
		t.Fatal(err)
	}
	if info := consumer.CachedInfo(); info.NumAckPending != 1 {
		t.Errorf("somebody answered for a change of another site: %d are held, want 1", info.NumAckPending)
	}
	// What the victim and the centre say to each other now is all that they heard.
	if err := centre.Publish(t.Context(), theirs, change(1000)); err != nil {
		t.Fatalf("the stream suffered: %v", err)
	}
	if got := next(t, changes, "change"); got.Seq != 1000 {
		t.Errorf("the site was given a forged change: %+v", got)
	}
	if n, err := victim.PublishFacts(t.Context(), fact(2000)); err != nil || n != 1 {
		t.Fatalf("the stream suffered: %d, %v", n, err)
	}
	if got := next(t, facts, "fact"); got.Seq != 2000 {
		t.Errorf("the centre was given a forged fact: %+v", got)
	}
}

// pullOne has a site take a change and not answer for it.
func pullOne(t *testing.T, h *hub, centre *Centre, id sprout.SiteID) *nats.Msg {
	t.Helper()
	if err := centre.AddSite(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := centre.Publish(t.Context(), id, change(1)); err != nil {
		t.Fatal(err)
	}
	site := h.site(id)
	m, err := site.conn.RequestWithContext(t.Context(), nextSubject(id), []byte(`{"batch":1}`))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRevokedAgentIsCutOff(t *testing.T) {
	h := startHub(t)
	token, seed, public := h.credential(ours)
	closed := make(chan struct{}, 10)
	connect := func() (*nats.Conn, error) {
		return nats.Connect(h.server.URL(), nats.UserJWTAndSeed(token, string(seed)), nats.NoReconnect(),
			nats.DisconnectErrHandler(func(*nats.Conn, error) { closed <- struct{}{} }))
	}
	before, err := connect()
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	if err := h.server.Revoke(public); err != nil {
		t.Fatal(err)
	}
	next(t, closed, "disconnection")
	if c, err := connect(); err == nil {
		c.Close()
		t.Error("a revoked agent connected")
	}
	h.stop()
	h.config.Revoked = []string{public}
	h.start()
	if c, err := connect(); err == nil {
		c.Close()
		t.Error("a revoked agent connected after a restart of the server")
	}
}

func TestCredentialsOfAnotherInstallationAreRefused(t *testing.T) {
	h := startHub(t)
	other := &hub{t: t, config: Config{Keys: newKeys(t)}}
	token, seed, _ := other.credential(ours)
	if c, err := nats.Connect(h.server.URL(), nats.UserJWTAndSeed(token, string(seed))); err == nil {
		c.Close()
		t.Error("an agent of another installation connected")
	}
	stolen, _, _ := h.credential(ours)
	if c, err := nats.Connect(h.server.URL(), nats.UserJWTAndSeed(stolen, string(seed))); err == nil {
		c.Close()
		t.Error("a JWT without its seed was enough to connect")
	}
	if c, err := nats.Connect(h.server.URL()); err == nil {
		c.Close()
		t.Error("somebody without any credential connected")
	}
}

func TestUserJWTRefusesWhatIsNoSite(t *testing.T) {
	keys := newKeys(t)
	_, _, public := (&hub{t: t, config: Config{Keys: keys, Log: slog.New(slog.DiscardHandler)}}).credential(ours)
	for _, site := range []sprout.SiteID{"", "*", ">", "a.b", "sit_a.>", "a b"} {
		if _, err := keys.UserJWT(site, "agt_1", public); sprout.KindOf(err) != sprout.Invalid {
			t.Errorf("site %q: got %v, want an invalid error", site, err)
		}
	}
	for _, agent := range []sprout.AgentID{"", "*", ">", "a.b"} {
		if _, err := keys.UserJWT(ours, agent, public); sprout.KindOf(err) != sprout.Invalid {
			t.Errorf("agent %q: got %v, want an invalid error", agent, err)
		}
	}
	if _, err := keys.UserJWT(ours, "agt_1", "nonsense"); sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("got %v, want an invalid error", err)
	}
}

func TestSeal(t *testing.T) {
	h := nkeysCurve(t)
	sealed, err := Seal(h.public, []byte("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(sealed), "hunter2") {
		t.Error("the secret can be read")
	}
	if got, err := Unseal(h.seed, sealed); err != nil || string(got) != "hunter2" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := Unseal(nkeysCurve(t).seed, sealed); sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("another's key: got %v, want an invalid error", err)
	}
}
