package builtin

import (
	"net/netip"
	"sync"
	"time"
)

// offerHold is how long an address is kept for a client after it was offered
// or leased: longer than any decision takes, and than the 10 s that firmware
// needs at most from an offer to its request.
const offerHold = 30 * time.Second

// Offers remembers which address was promised to which client, so that two
// never get the same. It is safe for use by many. A nil one is empty.
type Offers struct {
	mu    sync.Mutex
	held  map[netip.Addr]offer
	queue []due // in order of time: holds are all equally long
}

type offer struct {
	key   string
	until time.Time
}

type due struct {
	ip    netip.Addr
	until time.Time
}

// Claim keeps ip for key until now + 30 s; false: another key has it.
func (o *Offers) Claim(ip netip.Addr, key string, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.expire(now)
	if held, ok := o.held[ip]; ok && held.key != key {
		return false
	}
	if o.held == nil {
		o.held = map[netip.Addr]offer{}
	}
	until := now.Add(offerHold)
	o.held[ip] = offer{key, until}
	o.queue = append(o.queue, due{ip, until})
	return true
}

// Holder returns the key that ip is kept for.
func (o *Offers) Holder(ip netip.Addr, now time.Time) (string, bool) {
	if o == nil {
		return "", false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	held, ok := o.held[ip]
	return held.key, ok && held.until.After(now)
}

// Drop frees ip if it is kept for key.
func (o *Offers) Drop(ip netip.Addr, key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held[ip].key == key {
		delete(o.held, ip)
	}
}

// expire forgets what is due: each claim once, so no call does it for all.
func (o *Offers) expire(now time.Time) {
	n := 0
	for n < len(o.queue) && !o.queue[n].until.After(now) {
		if ip := o.queue[n].ip; !o.held[ip].until.After(now) {
			delete(o.held, ip)
		}
		n++
	}
	o.queue = o.queue[n:]
}
