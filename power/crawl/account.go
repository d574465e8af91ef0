package crawl

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"sprout"
)

const (
	refusedFor   = time.Hour // credentials that a BMC refused are not tried there again
	mostRefusals = 3         // in a row, of different BMCs, until credentials are not tried at all
	restsFor     = 15 * time.Minute
	mostAccounts = 100 // of which it is known where they were refused
)

// A fingerprint tells credentials apart without keeping them.
type fingerprint [sha256.Size]byte

// An account is what became of credentials. Accounts of BMCs may be those of a directory,
// where all refusals count together: so they are tried at one BMC at a time until one has
// taken them, and again after a refusal.
type account struct {
	turn chan struct{} // whoever has its token tries them first

	mu      sync.Mutex
	proven  bool // the last that answered took them
	row     int  // refusals since one took them
	last    time.Time
	refused map[netip.Addr]time.Time
}

// account returns what is known of credentials.
func (c *Crawler) account(username, password string) *account {
	key := fingerprint(sha256.Sum256([]byte(username + "\x00" + password)))
	c.mu.Lock()
	defer c.mu.Unlock()
	if a, known := c.accounts[key]; known {
		return a
	}
	for old, a := range c.accounts {
		if len(c.accounts) >= mostAccounts && a.forgotten(c.Now()) {
			delete(c.accounts, old)
		}
	}
	a := &account{turn: make(chan struct{}, 1), refused: map[netip.Addr]time.Time{}}
	a.turn <- struct{}{}
	c.accounts[key] = a
	return a
}

// forgotten tells whether nothing is known that still counts.
func (a *account) forgotten(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.turn) == 1 && now.Sub(a.last) > refusedFor
}

// admit says why the credentials are not to be tried at the address; or waits until they
// may be, and returns what takes the outcome.
func (a *account) admit(ctx context.Context, ip netip.Addr, now func() time.Time) (why string, done func(error)) {
	holds := false
	if !a.isProven() {
		select {
		case <-a.turn:
			holds = true
		case <-ctx.Done():
			return noTime, nil
		}
		if a.isProven() { // while it waited
			a.turn <- struct{}{}
			holds = false
		}
	}
	if why := a.refuses(ip, now()); why != "" {
		if holds {
			a.turn <- struct{}{}
		}
		return why, nil
	}
	return "", func(err error) {
		a.learn(ip, now(), err)
		if holds {
			a.turn <- struct{}{}
		}
	}
}

func (a *account) isProven() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.proven
}

// refuses says why the credentials are not tried.
func (a *account) refuses(ip netip.Addr, now time.Time) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at, was := a.refused[ip]; was && now.Sub(at) < refusedFor {
		return fmt.Sprintf("it refused these credentials at %s; they are not tried here again before %s, so that no account is locked",
			at.UTC().Format("15:04"), at.Add(refusedFor).UTC().Format("15:04 MST"))
	}
	if a.row >= mostRefusals && now.Sub(a.last) < restsFor {
		return fmt.Sprintf("%d BMCs in a row refused these credentials; they are not tried before %s, so that no account is locked",
			a.row, a.last.Add(restsFor).UTC().Format("15:04 MST"))
	}
	return ""
}

// learn takes the outcome of a try. A BMC that said nothing has said nothing of them.
func (a *account) learn(ip netip.Addr, now time.Time, err error) {
	var failure *sprout.Failure
	refused := errors.As(err, &failure) && failure.Code == sprout.BMCDenied
	if err != nil && !refused {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = now
	if !refused {
		a.proven, a.row = true, 0
		delete(a.refused, ip)
		return
	}
	a.proven, a.row, a.refused[ip] = false, a.row+1, now
	for other, at := range a.refused {
		if now.Sub(at) >= refusedFor {
			delete(a.refused, other)
		}
	}
}
