package bus

import (
	"context"
	"errors"
	"testing"
	"time"

	"sprout"
)

// What is there already comes together, in the order of its numbers; what of it
// was not taken comes again.
func TestChangesComeTogether(t *testing.T) {
	h := startHub(t)
	centre := h.centre()
	if err := centre.AddSite(t.Context(), ours); err != nil {
		t.Fatal(err)
	}
	const all = 40
	order := []int64{2, 1}
	for seq := int64(3); seq <= all; seq++ {
		order = append(order, seq)
	}
	for _, seq := range order {
		if err := centre.Publish(t.Context(), ours, change(seq)); err != nil {
			t.Fatal(err)
		}
	}
	site := h.site(ours)
	var applied int64
	calls, refused := 0, false
	done := make(chan struct{})
	run(t, func(ctx context.Context) error {
		return site.Changes(ctx, func(_ context.Context, changes []sprout.Change) (taken int, err error) {
			calls++
			for _, c := range changes {
				if c.Seq == 7 && !refused {
					refused = true
					return taken, errors.New("refused once")
				}
				if c.Seq > applied+1 {
					return taken, errors.New("a gap")
				}
				applied = max(applied, c.Seq)
				taken++
			}
			if applied == all {
				close(done)
			}
			return taken, nil
		})
	})
	select {
	case <-done:
	case <-t.Context().Done():
	}
	if applied != all || !refused || calls > all/2 {
		t.Errorf("%d of %d are applied, by %d calls; refused %v", applied, all, calls, refused)
	}
}

// However slowly heartbeats are taken, the next one taken is the newest: by an old
// one the centre would send again what the site has had for long.
func TestNewestHeartbeatIsTaken(t *testing.T) {
	h := startHub(t)
	centre, site := h.centre(), h.site(ours)
	seen, free := make(chan []sprout.Beat), make(chan struct{})
	run(t, func(ctx context.Context) error {
		return centre.ConsumeBeats(ctx, func(beats []sprout.Beat) {
			select {
			case seen <- beats:
				<-free
			case <-ctx.Done():
			}
		})
	})
	say := func(applied int64) {
		t.Helper()
		if err := errors.Join(site.PublishBeat(sprout.Heartbeat{Agent: "agt_1", Applied: applied}), site.conn.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	for applied := int64(0); ; applied++ { // until the subscription stands
		say(applied)
		select {
		case <-seen:
		case <-time.After(10 * time.Millisecond):
			continue
		}
		break
	}
	const last = 1_000_000
	for applied := int64(last - 300); applied <= last; applied++ {
		say(applied)
	}
	if err := centre.conn.Flush(); err != nil { // what was said lies with the consumer
		t.Fatal(err)
	}
	free <- struct{}{}
	if beats := <-seen; len(beats) != 1 || beats[0].Applied != last || beats[0].Site != ours {
		t.Errorf("taken: %+v", beats)
	}
	close(free)
}
