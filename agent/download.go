package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"sprout"
	"sprout/provision"
	"sprout/sitestore"
)

const (
	// turnHold is how long a ramdisk that waits for its turn is held before it is
	// told its place.
	turnHold = 10 * time.Second
	// dripEvery is how often a ramdisk that cannot be told so gets a byte instead:
	// ramdisks of before give up a download that is silent for 20 s.
	dripEvery = 5 * time.Second
)

// image serves the bytes of the one image that the attempt was ordered to write,
// when it is its machine's turn.
func (s *site) image(w http.ResponseWriter, r *http.Request, a sitestore.Attempt) error {
	given, ok, err := s.store.Order(a.ID)
	if err != nil {
		return err
	}
	if !ok || given.Order.Write == nil || given.Order.Write.Image.Digest != r.PathValue("digest") {
		return sprout.Errorf(sprout.Denied, "cannot serve image %s: it is not what this boot attempt was ordered to write", r.PathValue("digest"))
	}
	img := given.Order.Write.Image
	body := &seenWriter{ResponseWriter: w, saw: func() { s.saw(a.ID) }}
	if r.Method == http.MethodGet {
		hold := turnHold
		turn, joins, wake := s.turns.ask(a.ID, a.Machine, img.Bytes, resumes(r))
		if joins {
			hold = 0 // so that it says at once what it waits for
		}
		if turn.Waits && strings.Contains(r.Header.Get("Prefer"), "respond-async") && s.held(w, r, a, wake, hold) {
			return nil
		}
		body.next = func(want int64) (int64, bool, error) { return s.turns.next(r.Context(), a.ID, want) }
	}
	began := time.Now()
	s.images.Handler().ServeHTTP(body, r)
	if r.Method == http.MethodGet && whole(w.Header(), img.Bytes) == body.bytes {
		s.turns.done(a.ID)
	}
	s.boots.imaged(a, r, img, body.bytes, time.Since(began))
	return nil
}

// held waits for the machine's turn. True: it did not come in time, and the
// ramdisk is told its place, or has gone.
func (s *site) held(w http.ResponseWriter, r *http.Request, a sitestore.Attempt, wake <-chan struct{}, within time.Duration) bool {
	hold := time.NewTimer(within)
	defer hold.Stop()
	select {
	case <-wake:
		return false
	case <-r.Context().Done():
		return true
	case <-hold.C:
	}
	s.saw(a.ID)
	turn, known := s.turns.of(a.ID)
	if known && !turn.Waits {
		return false
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Preference-Applied", "respond-async")
	w.WriteHeader(http.StatusAccepted)
	_ = writeJSON(w, turn) // a Turn can be encoded
	return true
}

// resumes tells whether the request is for what follows bytes that are there.
func resumes(r *http.Request) bool {
	from := r.Header.Get("Range")
	return from != "" && !strings.HasPrefix(from, "bytes=0-")
}

// whole is how many bytes an answer has that goes up to the image's end; -1: it
// does not.
func whole(answer http.Header, size int64) (bytes int64) {
	var from, to, of int64
	if _, err := fmt.Sscanf(answer.Get("Content-Range"), "bytes %d-%d/%d", &from, &to, &of); err == nil {
		if to != size-1 {
			return -1
		}
		return size - from
	}
	return size
}

// errTurnOver ends a download whose attempt has ended.
var errTurnOver = errors.New("the boot attempt is over")

// next waits until bytes of a download may be sent, and says how many. A machine
// whose turn it is not gets one now and then (idle).
func (t *turns) next(ctx context.Context, attempt sprout.AttemptID, want int64) (may int64, idle bool, err error) {
	if t.took(attempt) {
		may = min(want, t.piece)
		return may, false, t.pace(ctx, may)
	}
	wake, ok := t.again(attempt)
	if !ok {
		return 0, false, errTurnOver
	}
	drip := time.NewTimer(dripEvery)
	defer drip.Stop()
	select {
	case <-ctx.Done():
		return 0, false, ctx.Err()
	case <-drip.C:
		return 1, true, nil
	case <-wake:
		return t.next(ctx, attempt, want)
	}
}

// sweepEvery is how often turns are taken from who was not heard of.
const sweepEvery = time.Second

// takeTurns tells the runs of machines that wait, or have their turn, and says
// where the queue does not move.
func (s *site) takeTurns(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case one := <-s.turns.news:
			s.tellTurn(ctx, one)
		case <-tick.C:
			s.turns.sweep()
			reason, evidence := s.turns.stuck()
			s.troubles.Set(sprout.DownloadsStuck, reason, evidence)
		}
	}
}

func (s *site) tellTurn(ctx context.Context, one *turn) {
	if word, ok := s.turns.of(one.attempt); ok && word.Waits {
		s.boots.waits(one, word)
	}
	err := s.signal(ctx, one.machine, provision.SignalTurn, provision.TurnSeen{Attempt: one.attempt})
	if err != nil && sprout.KindOf(err) != sprout.Conflict {
		s.log.Warn("run not told of its machine's turn: it looks by itself", "machine", one.machine, "error", err)
	}
}
