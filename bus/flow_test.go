package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nkeys"

	"sprout"
)

type curve struct {
	seed   []byte
	public string
}

func nkeysCurve(t *testing.T) (c curve) {
	t.Helper()
	pair, err := nkeys.CreateCurveKeys()
	if err != nil {
		t.Fatal(err)
	}
	if c.seed, err = pair.Seed(); err != nil {
		t.Fatal(err)
	}
	if c.public, err = pair.PublicKey(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestChangesComeInOrderOnce(t *testing.T) {
	h := startHub(t)
	centre := h.centre()
	if err := centre.AddSite(t.Context(), ours); err != nil {
		t.Fatal(err)
	}
	for seq := int64(1); seq <= 600; seq++ { // more than two pulls hold
		for range 1 + seq%2 { // half of them twice
			if err := centre.Publish(t.Context(), ours, change(seq)); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := make(chan int64, 1000)
	site := h.site(ours)
	run(t, func(ctx context.Context) error {
		return site.Changes(ctx, OneByOne(func(_ context.Context, c sprout.Change) error { got <- c.Seq; return nil }))
	})
	for want := int64(1); want <= 600; want++ {
		if seq := next(t, got, "change"); seq != want {
			t.Fatalf("got change %d, want %d", seq, want)
		}
	}
}

func TestRefusedChangeComesAgain(t *testing.T) {
	h := startHub(t)
	centre := h.centre()
	if err := centre.AddSite(t.Context(), ours); err != nil {
		t.Fatal(err)
	}
	got := make(chan int64, 10)
	var applied int64
	site := h.site(ours)
	run(t, func(ctx context.Context) error {
		return site.Changes(ctx, OneByOne(func(_ context.Context, c sprout.Change) error {
			if c.Seq != applied+1 {
				return errors.New("a gap")
			}
			applied = c.Seq
			got <- c.Seq
			return nil
		}))
	})
	for _, seq := range []int64{2, 1} { // out of order
		if err := centre.Publish(t.Context(), ours, change(seq)); err != nil {
			t.Fatal(err)
		}
	}
	for want := int64(1); want <= 2; want++ {
		if seq := next(t, got, "change"); seq != want {
			t.Fatalf("got change %d, want %d", seq, want)
		}
	}
	if err := centre.Republish(t.Context(), ours, change(3)); err != nil {
		t.Fatal(err)
	}
	next(t, got, "change published again")
}

func TestChangesSurviveTheServer(t *testing.T) {
	h := startHub(t)
	centre := h.centre()
	if err := centre.AddSite(t.Context(), ours); err != nil {
		t.Fatal(err)
	}
	got := make(chan int64, 10)
	site := h.site(ours)
	run(t, func(ctx context.Context) error {
		return site.Changes(ctx, OneByOne(func(_ context.Context, c sprout.Change) error { got <- c.Seq; return nil }))
	})
	for seq := int64(1); seq <= 3; seq++ {
		for centre.Publish(t.Context(), ours, change(seq)) != nil { // the centre's outbox does the same
		}
		if n := next(t, got, "change"); n != seq {
			t.Fatalf("got change %d, want %d", n, seq)
		}
		h.stop()
		h.start()
	}
}

func TestFactsAreTakenInOrderPerSite(t *testing.T) {
	h := startHub(t)
	centre := h.centre()
	const each = 200
	type taken struct {
		site sprout.SiteID
		seq  int64
	}
	got := make(chan taken, 4*each)
	var mu sync.Mutex
	failed := map[taken]bool{}
	take := func(_ context.Context, site sprout.SiteID, f sprout.Fact) error {
		mu.Lock()
		defer mu.Unlock()
		if k := (taken{site, f.Seq}); f.Seq%50 == 0 && !failed[k] {
			failed[k] = true
			return errors.New("the database is away for a moment")
		}
		got <- taken{site, f.Seq}
		return nil
	}
	// Two replicas share the work.
	for _, c := range []*Centre{centre, h.centre()} {
		run(t, func(ctx context.Context) error { return c.ConsumeFacts(ctx, oneByOne(take)) })
	}
	sites := []sprout.SiteID{ours, theirs}
	var sending sync.WaitGroup
	for _, id := range sites {
		site := h.site(id)
		sending.Go(func() {
			for seq := int64(1); seq <= each; seq += 10 {
				var facts []sprout.Fact
				for n := range int64(10) {
					facts = append(facts, fact(seq+n))
				}
				if n, err := site.PublishFacts(context.Background(), facts...); err != nil || n != 10 {
					t.Errorf("stored %d, %v", n, err)
				}
				if _, err := site.PublishFacts(context.Background(), facts[0]); err != nil { // a repeat
					t.Error(err)
				}
			}
		})
	}
	sending.Wait()
	last := map[sprout.SiteID]int64{}
	for range len(sites) * each {
		f := next(t, got, "fact")
		if f.seq != last[f.site]+1 {
			t.Fatalf("site %s: got fact %d after %d", f.site, f.seq, last[f.site])
		}
		last[f.site] = f.seq
	}
}

func TestFactThatNobodyCanUseIsDropped(t *testing.T) {
	h := startHub(t)
	centre := h.centre()
	got := make(chan int64, 10)
	run(t, func(ctx context.Context) error {
		return centre.ConsumeFacts(ctx, oneByOne(func(_ context.Context, _ sprout.SiteID, f sprout.Fact) error {
			got <- f.Seq
			if f.Seq == 1 {
				return sprout.Errorf(sprout.Invalid, "cannot use it")
			}
			return nil
		}))
	})
	if n, err := h.site(ours).PublishFacts(t.Context(), fact(1), fact(2)); err != nil || n != 2 {
		t.Fatalf("stored %d, %v", n, err)
	}
	for want := int64(1); want <= 2; want++ {
		if seq := next(t, got, "fact"); seq != want {
			t.Fatalf("got fact %d, want %d", seq, want)
		}
	}
}

// A fact that is larger than any message is known to the centre all the same,
// and those behind it come.
func TestFactThatIsTooLargeStopsNothing(t *testing.T) {
	h := startHub(t)
	centre := h.centre()
	got := make(chan sprout.Fact, 10)
	run(t, func(ctx context.Context) error {
		return centre.ConsumeFacts(ctx, oneByOne(func(_ context.Context, _ sprout.SiteID, f sprout.Fact) error { got <- f; return nil }))
	})
	large := fact(1)
	large.Body, _ = json.Marshal(strings.Repeat("x", 5<<20))
	if n, err := h.site(ours).PublishFacts(t.Context(), large, fact(2)); err != nil || n != 2 {
		t.Fatalf("stored %d, %v", n, err)
	}
	if f := next(t, got, "fact"); f.Seq != 1 || !strings.Contains(string(f.Body), "left out: its 5242882 bytes") {
		t.Errorf("got %+v", f)
	}
	if f := next(t, got, "fact"); f.Seq != 2 {
		t.Errorf("got %+v", f)
	}
}

func TestFactsAreNotStoredWhileTheHubIsAway(t *testing.T) {
	h := startHub(t)
	h.centre()
	site := h.site(ours)
	if n, err := site.PublishFacts(t.Context(), fact(1)); err != nil || n != 1 {
		t.Fatalf("stored %d, %v", n, err)
	}
	h.stop()
	if n, err := site.PublishFacts(t.Context(), fact(2)); err == nil || n != 0 {
		t.Errorf("stored %d, %v, want none and an error", n, err)
	}
	h.start()
	var n int
	err := fmt.Errorf("not tried")
	for n == 0 || err != nil {
		n, err = site.PublishFacts(t.Context(), fact(2))
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

func TestLiveAndBeats(t *testing.T) {
	h := startHub(t)
	centre := h.centre()
	live, beats := make(chan sprout.Live, 100), make(chan sprout.Heartbeat, 100)
	run(t, func(ctx context.Context) error {
		return centre.ConsumeLive(ctx, func(_ sprout.SiteID, l sprout.Live) {
			select {
			case live <- l:
			default:
			}
		})
	})
	run(t, func(ctx context.Context) error {
		return centre.ConsumeBeats(ctx, func(newest []sprout.Beat) {
			if len(newest) != 1 || newest[0].Site != ours {
				t.Errorf("heartbeats %+v", newest)
				return
			}
			select {
			case beats <- newest[0].Heartbeat:
			default:
			}
		})
	})
	site := h.site(ours)
	for len(live) == 0 || len(beats) == 0 { // until the subscriptions stand
		if err := errors.Join(site.PublishLive(sprout.Live{Work: "w", Step: "s"}), site.PublishBeat(sprout.Heartbeat{Applied: 7})); err != nil {
			t.Fatal(err)
		}
		if err := site.conn.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if l := <-live; l.Work != "w" {
		t.Errorf("got %+v", l)
	}
	if b := <-beats; b.Applied != 7 {
		t.Errorf("got %+v", b)
	}
}
