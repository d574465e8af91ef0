package sitestore

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/netip"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"sprout"
)

// An Attempt is one boot of a machine that Sprout ordered or allowed.
type Attempt struct {
	ID        sprout.AttemptID `json:"id"`
	Machine   sprout.MachineID `json:"machine,omitempty"` // empty: not known yet
	MAC       string           `json:"mac,omitempty"`     // of an unknown machine
	IP        netip.Addr       `json:"ip,omitzero"`       // of an unknown machine
	Purpose   string           `json:"purpose"`
	ExpiresAt time.Time        `json:"expiresAt"`
	Tokens    [][]byte         `json:"tokens"`         // hashes of those that are good
	Rest      *sprout.Rest     `json:"rest,omitempty"` // its ramdisk waits for a deploy
}

// A Use is the one purpose that a token serves.
type Use string

const (
	RamdiskUse Use = "ramdisk" // everything that a ramdisk asks
	HomeUse    Use = "home"    // the installed system's phone-home
	// MetadataUse is the installed system's: to read what it is.
	MetadataUse Use = "metadata"
	// MediaUse is the BMC's: to fetch what the machine boots.
	MediaUse Use = "media"
)

// A Token is what is kept of a token: never the token.
type Token struct {
	Attempt   sprout.AttemptID `json:"attempt"`
	Use       Use              `json:"use"`
	ExpiresAt time.Time        `json:"expiresAt"`
}

// Given is an order that was put before a ramdisk, and how it ended.
type Given struct {
	Order  sprout.Order   `json:"order"`
	Report *sprout.Report `json:"report,omitempty"` // done or failed
	// Done is what boots of the attempt have done of an order to test.
	Done *sprout.TestsDone `json:"done,omitempty"`
}

// discoverFor is how long an unknown machine's boot may take, and how long its
// ramdisk may then wait to be accepted.
const discoverFor = 24 * time.Hour

func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return string(sum[:])
}

// Intent returns what the machine shall boot next, also an expired one.
func (s *Store) Intent(machine sprout.MachineID) (in sprout.Intent, ok bool) {
	err := s.db.View(func(tx *bbolt.Tx) (err error) {
		in, ok, err = intentTable.get(tx, string(machine))
		return err
	})
	if err != nil {
		s.log.Error("boot intent cannot be read", "machine", machine, "error", err)
	}
	return in, ok && err == nil
}

// SetIntent makes the machine boot its ramdisk next and makes the intent's
// tokens good. It ends every token of the machine's older attempts, those of its
// discovery among them.
func (s *Store) SetIntent(tx *bbolt.Tx, in sprout.Intent) error {
	m, _, err := machineTable.get(tx, string(in.Machine))
	if err != nil {
		return err
	}
	for _, mac := range m.MACs { // from the time when it was unknown
		mac = strings.ToLower(mac)
		if err := errors.Join(intentTable.delete(tx, mac), s.endAttempts(tx, mac)); err != nil {
			return err
		}
	}
	return s.setIntent(tx, string(in.Machine), in, Attempt{
		ID: in.Attempt, Machine: in.Machine, Purpose: in.Purpose, ExpiresAt: in.ExpiresAt,
	})
}

func (s *Store) setIntent(tx *bbolt.Tx, owner string, in sprout.Intent, a Attempt) error {
	if old, ok, err := intentTable.get(tx, owner); err != nil {
		return err
	} else if ok && old.Attempt == in.Attempt {
		return nil // a repeat: the step's commit was lost, not its effect
	}
	resting, err := takeUp(tx, a)
	if err != nil {
		return err
	}
	if a.Tokens = resting; resting == nil {
		if err := s.endAttempts(tx, owner); err != nil {
			return err
		}
	}
	for _, t := range []struct {
		token string
		use   Use
	}{{in.Token, RamdiskUse}, {in.HomeToken, HomeUse}, {in.MetadataToken, MetadataUse}, {in.MediaToken, MediaUse}} {
		if t.token == "" {
			continue
		}
		key := hash(t.token)
		if err := tokenTable.put(tx, key, Token{Attempt: a.ID, Use: t.use, ExpiresAt: a.ExpiresAt}); err != nil {
			return err
		}
		a.Tokens = append(a.Tokens, []byte(key))
	}
	if err := attemptTable.put(tx, string(a.ID), a); err != nil {
		return err
	}
	if err := tx.Bucket([]byte(ownAttemptBucket)).Put([]byte(owner+"\x00"+string(a.ID)), nil); err != nil {
		return err
	}
	return intentTable.put(tx, owner, in)
}

// BootDisk makes the machine boot its disk, while the ramdisk that runs on it may
// still be given orders; no intent is no error.
func (s *Store) BootDisk(tx *bbolt.Tx, machine sprout.MachineID) error {
	return intentTable.delete(tx, string(machine))
}

// ClearIntent makes the machine boot its disk and ends the tokens of its ramdisk
// and of its media, but not the phone-home's; no intent is no error.
func (s *Store) ClearIntent(tx *bbolt.Tx, machine sprout.MachineID) error {
	for _, id := range attemptsOf(tx, string(machine)) {
		a, _, err := attemptTable.get(tx, id)
		if err != nil {
			return err
		}
		if a.Rest != nil { // its ramdisk has no token any more
			a.Rest = nil
			if err := attemptTable.put(tx, id, a); err != nil {
				return err
			}
		}
		for _, key := range a.Tokens {
			t, ok, err := tokenTable.get(tx, string(key))
			if err == nil && ok && (t.Use == RamdiskUse || t.Use == MediaUse) {
				err = tokenTable.delete(tx, string(key))
			}
			if err != nil {
				return err
			}
		}
	}
	return intentTable.delete(tx, string(machine))
}

// attemptsOf lists the owner's attempts.
func attemptsOf(tx *bbolt.Tx, owner string) (ids []string) {
	prefix := owner + "\x00"
	c := tx.Bucket([]byte(ownAttemptBucket)).Cursor()
	for k, _ := c.Seek([]byte(prefix)); k != nil && strings.HasPrefix(string(k), prefix); k, _ = c.Next() {
		ids = append(ids, string(k[len(prefix):]))
	}
	return ids
}

// EndAttempt ends every token of the machine's attempts, and its intent.
func (s *Store) EndAttempt(tx *bbolt.Tx, machine sprout.MachineID) error {
	if err := intentTable.delete(tx, string(machine)); err != nil {
		return err
	}
	return s.endAttempts(tx, string(machine))
}

// endAttempts forgets the owner's attempts, their tokens and their orders.
func (s *Store) endAttempts(tx *bbolt.Tx, owner string) error {
	prefix := owner + "\x00"
	for _, id := range attemptsOf(tx, owner) {
		a, _, err := attemptTable.get(tx, id)
		if err != nil {
			return err
		}
		for _, key := range a.Tokens {
			if err := tokenTable.delete(tx, string(key)); err != nil {
				return err
			}
		}
		if err := orderTable.delete(tx, id); err != nil {
			return err
		}
		if err := attemptTable.delete(tx, id); err != nil {
			return err
		}
		if err := tx.Bucket([]byte(ownAttemptBucket)).Delete([]byte(prefix + id)); err != nil {
			return err
		}
	}
	return nil
}

// StartDiscovery makes an intent with purpose discover for a MAC that no
// machine has, or returns the one that still stands. The intent has no machine.
func (s *Store) StartDiscovery(ctx context.Context, mac string, ip netip.Addr) (in sprout.Intent, err error) {
	mac = strings.ToLower(mac)
	fresh := sprout.Intent{
		Attempt: sprout.NewID[sprout.AttemptID](sprout.PrefixAttempt), Purpose: "discover",
		Token: sprout.NewSecret(), ExpiresAt: s.now().Add(discoverFor).UTC(),
	}
	err = s.Update(ctx, func(tx *bbolt.Tx) error {
		old, ok, err := intentTable.get(tx, mac)
		if in = old; err != nil || ok && s.now().Before(old.ExpiresAt.Add(-discoverFor/2)) {
			return err
		}
		in = fresh
		return s.setIntent(tx, mac, fresh, Attempt{ID: fresh.Attempt, MAC: mac, IP: ip, Purpose: fresh.Purpose, ExpiresAt: fresh.ExpiresAt})
	})
	return in, err
}

// Admit returns the attempt that a token belongs to. Denied: the token is
// unknown or over, has expired, or is for something else.
func (s *Store) Admit(token string, use Use) (a Attempt, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		t, ok, err := tokenTable.get(tx, hash(token))
		switch {
		case err != nil:
			return err
		case !ok || token == "":
			return sprout.Errorf(sprout.Denied, "cannot admit the token: its boot attempt is over, or never was")
		case t.Use != use:
			return sprout.Errorf(sprout.Denied, "cannot admit the token: it is not for this")
		case !s.now().Before(t.ExpiresAt):
			return sprout.Errorf(sprout.Denied, "cannot admit the token: it expired at %s", t.ExpiresAt.Format(time.RFC3339))
		}
		a, ok, err = attemptTable.get(tx, string(t.Attempt))
		if err == nil && !ok {
			err = sprout.Errorf(sprout.Denied, "cannot admit the token: its boot attempt is over")
		}
		return err
	})
	return a, err
}

// OpenAttempt returns the machine's newest attempt that is not over: that of its
// intent, or after the intent was cleared the one that may still phone home.
func (s *Store) OpenAttempt(machine sprout.MachineID) (id sprout.AttemptID, ok bool) {
	prefix := string(machine) + "\x00"
	err := s.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(ownAttemptBucket)).Cursor()
		for k, _ := c.Seek([]byte(prefix)); k != nil && strings.HasPrefix(string(k), prefix); k, _ = c.Next() {
			id, ok = sprout.AttemptID(k[len(prefix):]), true // ids sort by time
		}
		return nil
	})
	if err != nil {
		s.log.Error("boot attempts cannot be read", "machine", machine, "error", err)
	}
	return id, ok
}

// Give puts an order before the ramdisk of an attempt, in place of an older
// one. The same order given twice keeps its report.
func (s *Store) Give(tx *bbolt.Tx, attempt sprout.AttemptID, o sprout.Order) error {
	old, ok, err := orderTable.get(tx, string(attempt))
	if err != nil || ok && old.Order.ID == o.ID {
		return err
	}
	return orderTable.put(tx, string(attempt), Given{Order: o})
}

// Order returns what was put before the ramdisk of an attempt last.
func (s *Store) Order(attempt sprout.AttemptID) (g Given, ok bool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) (err error) {
		g, ok, err = orderTable.get(tx, string(attempt))
		return err
	})
	return g, ok, err
}

// KeepTests keeps what a ramdisk has done of the attempt's order to test. What is of
// another order, or comes after its report, is passed over.
func (s *Store) KeepTests(tx *bbolt.Tx, attempt sprout.AttemptID, r sprout.Report) error {
	g, ok, err := orderTable.get(tx, string(attempt))
	if err != nil || !ok || g.Order.ID != r.Order || g.Report != nil {
		return err
	}
	if g.Done == nil {
		g.Done = &sprout.TestsDone{}
	}
	g.Done.Add(r.Tests, r.Marks)
	return orderTable.put(tx, string(attempt), g)
}

// Answer keeps how the attempt's order ended, and of the order no more than which
// it was. False: the report is of another order, or was kept before; nothing may
// follow from it.
func (s *Store) Answer(tx *bbolt.Tx, attempt sprout.AttemptID, r sprout.Report) (bool, error) {
	g, ok, err := orderTable.get(tx, string(attempt))
	if err != nil || !ok || g.Order.ID != r.Order || g.Report != nil {
		return false, err
	}
	g = Given{Order: sprout.Order{ID: r.Order, Kind: g.Order.Kind}, Report: &sprout.Report{Order: r.Order, Outcome: r.Outcome}}
	return true, orderTable.put(tx, string(attempt), g)
}

// DropAttempts removes the attempts that expired before the time, with their
// intents and tokens, and returns how many.
func (s *Store) DropAttempts(ctx context.Context, before time.Time) (dropped int, err error) {
	err = s.Update(ctx, func(tx *bbolt.Tx) error {
		var owners []string
		err := attemptTable.each(tx, func(_ string, a Attempt) error {
			if a.ExpiresAt.Before(before) {
				owners = append(owners, a.owner())
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, owner := range owners {
			in, ok, err := intentTable.get(tx, owner)
			if err != nil {
				return err
			}
			if ok && !in.ExpiresAt.Before(before) {
				continue // a newer attempt has ended the old one's tokens
			}
			if err := errors.Join(intentTable.delete(tx, owner), s.endAttempts(tx, owner)); err != nil {
				return err
			}
		}
		dropped = len(owners)
		return nil
	})
	return dropped, err
}

// owner is the key of the attempt's intent.
func (a Attempt) owner() string {
	if a.Machine != "" {
		return string(a.Machine)
	}
	return a.MAC
}
