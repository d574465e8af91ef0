package agent

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"sprout"
	"sprout/power"
	"sprout/provision"
)

var _ provision.Site[*bbolt.Tx] = (*site)(nil)

// Machine returns what the site knows of a machine.
func (s *site) Machine(_ context.Context, id sprout.MachineID) (sprout.SiteMachine, error) {
	return s.store.Machine(id)
}

// Busy returns the id of a live run on the machine that is older than run, empty
// if none. Younger ones wait for it in turn.
func (s *site) Busy(ctx context.Context, id sprout.MachineID, run string) (string, error) {
	ids, err := s.store.LiveRuns(id)
	if err != nil || len(ids) < 2 {
		return "", err
	}
	mine, err := s.store.Get(ctx, run)
	if err != nil {
		return "", err
	}
	for _, other := range ids {
		theirs, err := s.store.Get(ctx, other)
		if err != nil {
			return "", err
		}
		age := theirs.CreatedAt.Compare(mine.CreatedAt)
		if other != run && !theirs.State.Ended() && (age < 0 || age == 0 && other < run) {
			return other, nil
		}
	}
	return "", nil
}

// Power returns the machine's power provider.
func (s *site) Power(_ context.Context, id sprout.MachineID) (power.Provider, error) {
	m, err := s.store.Machine(id)
	if err != nil {
		return nil, err
	}
	return s.power.of(m)
}

// AgentURL is the base URL of this agent as a machine at the address reaches it.
func (s *site) AgentURL(from netip.Addr) string { return s.config.url(from) }

// FetchImage brings an image to the site's cache, verified by digest.
func (s *site) FetchImage(ctx context.Context, img sprout.Image, progress func(done, total int64)) error {
	from := strings.TrimRight(s.config.Server, "/") + "/v1/images/" + img.Digest + "/content"
	header := http.Header{"Authorization": {"Bearer " + s.enrol.Token}}
	return s.images.Fetch(ctx, s.centre, from, header, img, progress)
}

// DropCorruptImage checks the site's copy of an image, and removes it if it is bad.
func (s *site) DropCorruptImage(ctx context.Context, digest string) (bool, error) {
	return s.images.DropCorrupt(ctx, digest)
}

// LastSeen tells when the ramdisk of an attempt last said anything. While the
// agent was away nobody listened: silence is counted from its start at most.
func (s *site) LastSeen(attempt sprout.AttemptID) (time.Time, bool) {
	at, ok := s.seen.of(attempt)
	if !ok {
		return s.started, true
	}
	return at, true
}

// Turn tells where the machine of an attempt stands among those that download.
func (s *site) Turn(attempt sprout.AttemptID) (sprout.Turn, bool) { return s.turns.of(attempt) }

// SetIntent makes the machine boot the ramdisk next.
func (s *site) SetIntent(_ context.Context, tx *bbolt.Tx, in sprout.Intent) error {
	tx.OnCommit(func() { s.turns.end(in.Machine) })
	return s.store.SetIntent(tx, in)
}

// Rest has the ramdisk of an attempt wait for a deploy.
func (s *site) Rest(_ context.Context, tx *bbolt.Tx, id sprout.MachineID, rest sprout.Rest) error {
	tx.OnCommit(func() { s.turns.end(id) })
	return s.store.Rest(tx, id, rest)
}

// Resting returns the attempt whose ramdisk waits.
func (s *site) Resting(_ context.Context, id sprout.MachineID) (sprout.Rest, bool, error) {
	return s.store.Resting(id)
}

// BootDisk makes it boot its disk; the ramdisk's token stays good.
func (s *site) BootDisk(_ context.Context, tx *bbolt.Tx, id sprout.MachineID) error {
	return s.store.BootDisk(tx, id)
}

// ClearIntent makes it boot its disk and ends the ramdisk's token.
func (s *site) ClearIntent(_ context.Context, tx *bbolt.Tx, id sprout.MachineID) error {
	tx.OnCommit(func() { s.turns.end(id) })
	return s.store.ClearIntent(tx, id)
}

// EndAttempt ends every token of the machine's attempts.
func (s *site) EndAttempt(_ context.Context, tx *bbolt.Tx, id sprout.MachineID) error {
	tx.OnCommit(func() { s.boots.over(id); s.turns.end(id) })
	return s.store.EndAttempt(tx, id)
}

// Give puts an order before the ramdisk of an attempt.
func (s *site) Give(_ context.Context, tx *bbolt.Tx, attempt sprout.AttemptID, o sprout.Order) error {
	tx.OnCommit(func() { s.orders.given(attempt) })
	return s.store.Give(tx, attempt, o)
}

// Report adds a fact to the outbox.
func (s *site) Report(_ context.Context, tx *bbolt.Tx, f sprout.Fact) error {
	return s.store.AppendFact(tx, f)
}
