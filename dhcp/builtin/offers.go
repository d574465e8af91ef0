package builtin

import (
	"net/netip"
	"sync"
	"time"

	"sprout"
)

// offerHold is how long an address is kept for a client after it was offered
// or leased: longer than any decision takes, and than the 10 s that firmware
// needs at most from an offer to its request.
const offerHold = 30 * time.Second

// Offers remembers which address was promised to which client, so that two
// never get the same. It is safe for use by many. A nil one is empty.
type Offers struct {
	mu    sync.Mutex
	held  map[promised]offer
	queue []due // in order of time: holds are all equally long
}

// A promised is an address: prefixes of two VRFs have the same.
type promised struct {
	subnet sprout.SubnetID
	ip     netip.Addr
}

type offer struct {
	key   string
	until time.Time
}

type due struct {
	promised
	until time.Time
}

// Claim keeps ip of the subnet for key until now + 30 s; false: another key has it.
func (o *Offers) Claim(subnet sprout.SubnetID, ip netip.Addr, key string, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.expire(now)
	p := promised{subnet, ip}
	if held, ok := o.held[p]; ok && held.key != key {
		return false
	}
	if o.held == nil {
		o.held = map[promised]offer{}
	}
	until := now.Add(offerHold)
	o.held[p] = offer{key, until}
	o.queue = append(o.queue, due{p, until})
	return true
}

// Holder returns the key that ip is kept for.
func (o *Offers) Holder(subnet sprout.SubnetID, ip netip.Addr, now time.Time) (string, bool) {
	if o == nil {
		return "", false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	held, ok := o.held[promised{subnet, ip}]
	return held.key, ok && held.until.After(now)
}

// Drop frees ip if it is kept for key.
func (o *Offers) Drop(subnet sprout.SubnetID, ip netip.Addr, key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if p := (promised{subnet, ip}); o.held[p].key == key {
		delete(o.held, p)
	}
}

// expire forgets what is due: each claim once, so no call does it for all.
func (o *Offers) expire(now time.Time) {
	n := 0
	for n < len(o.queue) && !o.queue[n].until.After(now) {
		if p := o.queue[n].promised; !o.held[p].until.After(now) {
			delete(o.held, p)
		}
		n++
	}
	o.queue = o.queue[n:]
}
