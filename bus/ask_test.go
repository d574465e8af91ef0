package bus

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"sprout"
)

// What the centre asks reaches the site that it asks, and no other; the answer,
// or the agent's refusal, comes back.
func TestAsk(t *testing.T) {
	h := startHub(t)
	centre := h.centre()
	for _, site := range []sprout.SiteID{ours, theirs} {
		s := h.site(site)
		ended := make(chan error, 1)
		ctx, stop := context.WithCancel(t.Context())
		go func() {
			ended <- s.Questions(ctx, func(_ context.Context, q sprout.Question) (any, error) {
				if q.Kind != "name" {
					return nil, sprout.Errorf(sprout.Invalid, "cannot answer %s", q.Kind)
				}
				return string(site) + string(q.Body), nil
			})
		}()
		t.Cleanup(func() {
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	for _, c := range []struct {
		site  sprout.SiteID
		kind  string
		want  string
		wrong sprout.Kind
	}{
		{ours, "name", `sit_ours"x"`, ""}, {theirs, "name", `sit_theirs"x"`, ""},
		{ours, "other", "", sprout.Invalid}, {"sit_none", "name", "", sprout.Unavailable}, {"sit *", "name", "", sprout.Invalid},
	} {
		var got string
		err := eventually(t, c.wrong == sprout.Unavailable, func(ctx context.Context) error { return centre.Ask(ctx, c.site, c.kind, "x", &got) })
		if got != c.want || (err == nil) != (c.wrong == "") || err != nil && sprout.KindOf(err) != c.wrong {
			t.Errorf("%s, asked %s: %q, %v", c.site, c.kind, got, err)
		}
	}
}

// eventually asks until there is an answer: the agent may not listen yet.
func eventually(t *testing.T, once bool, ask func(context.Context) error) (err error) {
	t.Helper()
	for range 50 {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		err = ask(ctx)
		cancel()
		if once || sprout.KindOf(err) != sprout.Unavailable {
			break
		}
	}
	return err
}

// An answer says whose question it is of.
func TestAnswerOfAnother(t *testing.T) {
	h := startHub(t)
	centre, s := h.centre(), h.site(ours)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	said := make(chan struct{})
	go func() {
		defer close(said)
		for ctx.Err() == nil {
			_ = s.PublishLive(sprout.Live{Answer: &sprout.Answer{ID: "guessed", Body: json.RawMessage(`"wrong"`)}}) // the test is about what is made of it
			_ = sprout.Pause(ctx, 20*time.Millisecond)
		}
	}()
	var got string
	err := centre.Ask(ctx, ours, "name", "x", &got)
	<-said
	if got != "" || sprout.KindOf(err) != sprout.Unavailable || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("%q, %v", got, err)
	}
}
