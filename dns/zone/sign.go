package zone

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"sprout/dns"
)

// How long signatures are good (RFC 6781 section 4.4.2). One is made anew while it
// has half of its time left, so that an agent may be away for a week, and so may
// a secondary. Ends are spread, so that not all are made at once.
const (
	signedFor    = 14 * 24 * time.Hour
	signedSpread = 2 * 24 * time.Hour
	signedLeft   = 7 * 24 * time.Hour
	signedBefore = time.Hour // clocks differ
)

// A place is a name in the order of a signed zone (RFC 4034 section 6.1).
type place struct{ key, owner string }

// signing is what a signed zone has beside its records. A Zone without is not
// signed. What it holds is never changed, but replaced.
type signing struct {
	keys  []dns.SigningKey
	order []place           // of the names that have records
	sec   map[string][]Data // by owner: NSEC, and signatures of all but the SOA
	start []Data            // signatures of the SOA
}

// orderKey turns a name round, so that keys compare as RFC 4034 section 6.1 has
// names compare: label by label from the last, an absent one first.
func orderKey(name string) string {
	var labels []string
	for name != "" && name[0] != 0 {
		labels = append(labels, name[1:1+name[0]])
		name = name[1+name[0]:]
	}
	var b strings.Builder
	for _, label := range slices.Backward(labels) {
		for i := range len(label) {
			if label[i] < 2 { // so that 0 may end labels
				b.WriteByte(1)
				b.WriteByte(1 + label[i])
				continue
			}
			b.WriteByte(label[i])
		}
		b.WriteByte(0)
	}
	return b.String()
}

// find is where a name is in the order, or would be.
func (s *signing) find(key string) (int, bool) {
	return slices.BinarySearchFunc(s.order, key, func(p place, key string) int { return strings.Compare(p.key, key) })
}

// sign makes the zone a signed one as a whole. Of was, which it takes the place
// of, it takes the signatures that are still right.
func (z *Zone) sign(keys []dns.SigningKey, was *Zone, now time.Time) {
	if len(keys) == 0 {
		z.signing = nil
		return
	}
	s := &signing{keys: keys, sec: map[string][]Data{}}
	z.signing = s
	for owner, n := range z.names {
		if n.served > 0 {
			s.order = append(s.order, place{orderKey(owner), owner})
		}
	}
	slices.SortFunc(s.order, func(a, b place) int { return strings.Compare(a.key, b.key) })
	for i, p := range s.order {
		var old []Data
		if was != nil && was.signing != nil && sameKeys(was.signing.keys, keys) && slices.Equal(was.served(p.owner), z.served(p.owner)) {
			old = was.signing.sec[p.owner]
		}
		z.signName(p.owner, i, old, now)
	}
}

func sameKeys(a, b []dns.SigningKey) bool {
	return slices.EqualFunc(a, b, func(a, b dns.SigningKey) bool { return a.Data == b.Data })
}

// signName makes the NSEC and the signatures of the i-th name. Those of old that
// cover the same stay.
func (z *Zone) signName(owner string, i int, old []Data, now time.Time) {
	s := z.signing
	next := s.order[(i+1)%len(s.order)].owner
	denial := newData(dns.NSEC, negativeTTL, append([]byte(next), z.bitmap(owner)...))
	sec := []Data{denial}
	sets := z.sets(owner)
	sets = append(sets, []Data{denial})
	for _, set := range sets {
		kind := set[0].Kind()
		kept := old != nil && (kind != dns.NSEC || slices.Contains(old, denial))
		for _, d := range old {
			if kept && covers(d, kind) {
				sec = append(sec, d)
			}
		}
		if !kept {
			sec = append(sec, s.signSet(z.origin, owner, set, now)...)
		}
	}
	s.sec[owner] = sec
}

// sets are the sets of a name that are signed: at a zone cut only what vouches for
// the zone below (RFC 4035 section 2.2).
func (z *Zone) sets(owner string) (list [][]Data) {
	all := z.served(owner)
	for len(all) > 0 {
		kind := all[0].Kind()
		n := 1
		for n < len(all) && all[n].Kind() == kind {
			n++
		}
		if owner == z.origin || kind != dns.NS {
			list = append(list, all[:n])
		}
		all = all[n:]
	}
	return list
}

// bitmap lists the kinds that a name has (RFC 4034 section 4.1.2). Zones have
// kinds below 256 only.
func (z *Zone) bitmap(owner string) []byte {
	bits := make([]byte, 2+256/8)
	add := func(k dns.Kind) { bits[2+k/8] |= 0x80 >> (k % 8) }
	for _, d := range z.served(owner) {
		add(d.Kind())
	}
	add(dns.RRSIG)
	add(dns.NSEC)
	if owner == z.origin {
		add(dns.SOA)
	}
	for bits[len(bits)-1] == 0 {
		bits = bits[:len(bits)-1]
	}
	bits[1] = byte(len(bits) - 2)
	return bits
}

// covers tells whether d is a signature of a kind's.
func covers(d Data, kind dns.Kind) bool {
	return d.Kind() == dns.RRSIG && dns.Kind(d[headLen])<<8|dns.Kind(d[headLen+1]) == kind
}

// ends is when a signature begins and ends to be good, in seconds.
func ends(d Data) (from, until uint32) {
	v := []byte(d[headLen:])
	return binary.BigEndian.Uint32(v[12:]), binary.BigEndian.Uint32(v[8:])
}

// signSet makes the signatures of one set of records, which lie in the order of
// their data (RFC 4034 sections 3.1.8.1 and 6.3).
func (s *signing) signSet(origin, owner string, set []Data, now time.Time) (list []Data) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(owner))
	spread := time.Duration(h.Sum32()) * time.Second % signedSpread
	count := byte(labels([]byte(owner)))
	for _, k := range s.keys {
		head := binary.BigEndian.AppendUint16(nil, uint16(set[0].Kind()))
		head = append(head, 13, count)
		head = binary.BigEndian.AppendUint32(head, set[0].TTL())
		head = binary.BigEndian.AppendUint32(head, uint32(now.Add(signedFor+spread).Unix()&0xffffffff))
		head = binary.BigEndian.AppendUint32(head, uint32(now.Add(-signedBefore).Unix()&0xffffffff))
		head = binary.BigEndian.AppendUint16(head, k.Tag)
		head = append(head, origin...)
		text := slices.Clone(head)
		for _, d := range set {
			text = append(append(text, owner...), d[2:]...)
		}
		signature, err := k.Sign(text)
		if err != nil {
			continue // of a good key it does not fail; without a signature validators say so
		}
		list = append(list, newData(dns.RRSIG, set[0].TTL(), append(head, signature...)))
	}
	return list
}

// resignNames makes anew what a change of names' records needs: their own
// signatures, and the NSEC before those that came or went. It adds to the delta.
func (z *Zone) resignNames(d *Delta, owners []string, now time.Time) {
	s := z.signing
	before := map[string][]Data{}
	remember := func(owner string) {
		if _, ok := before[owner]; !ok {
			before[owner] = s.sec[owner]
		}
	}
	for _, owner := range owners {
		remember(owner)
		key := orderKey(owner)
		i, was := s.find(key)
		is := z.names[owner] != nil && z.names[owner].served > 0
		switch {
		case is && !was:
			s.order = slices.Insert(s.order, i, place{key, owner})
		case was && !is:
			s.order = slices.Delete(s.order, i, i+1)
			delete(s.sec, owner)
		}
		if is != was {
			remember(s.order[(i+len(s.order)-1)%len(s.order)].owner)
		}
	}
	for owner := range before {
		i, is := s.find(orderKey(owner))
		if !is {
			continue
		}
		old := s.sec[owner]
		if slices.Contains(owners, owner) {
			old = nil
		}
		z.signName(owner, i, old, now)
	}
	for owner, had := range before {
		d.Del = append(d.Del, without(owner, had, s.sec[owner])...)
		d.Add = append(d.Add, without(owner, s.sec[owner], had)...)
	}
}

// signStart signs the SOA of now.
func (z *Zone) signStart(now time.Time) {
	z.signing.start = z.signing.signSet(z.origin, z.origin, []Data{z.own}, now)
}

// sec are the NSEC and the signatures of a name but those of the SOA.
func (z *Zone) sec(owner string) []Data {
	if z.signing == nil {
		return nil
	}
	return z.signing.sec[owner]
}

// startSec are the signatures of the SOA.
func (z *Zone) startSec() []Data {
	if z.signing == nil {
		return nil
	}
	return z.signing.start
}

// Resign makes the signatures anew that end soon, or begin later than now: the
// clock was ahead when they were made. It returns how many names that are.
func (d *DB) Resign(now time.Time) (names int) {
	d.writing.Lock()
	defer d.writing.Unlock()
	var changed []string
	for origin, z := range d.zones {
		n := z.resign(now)
		if n == nil {
			continue
		}
		var delta Delta
		for owner, sec := range n.sec {
			if old := z.signing.sec[owner]; !slices.Equal(old, sec) {
				delta.Del = append(delta.Del, without(owner, old, sec)...)
				delta.Add = append(delta.Add, without(owner, sec, old)...)
				names++
			}
		}
		d.mu.Lock()
		n.start, z.signing = z.signing.start, n
		z.note(delta, uint32(now.Unix()&0xffffffff), now)
		d.mu.Unlock()
		changed = append(changed, origin)
	}
	d.tell(changed)
	return names
}

// resign returns the zone's signatures with those made anew that are due; nil:
// none is.
func (z *Zone) resign(now time.Time) *signing {
	if z.signing == nil {
		return nil
	}
	due := func(list []Data) bool {
		return slices.ContainsFunc(list, func(d Data) bool {
			if d.Kind() != dns.RRSIG {
				return false
			}
			from, until := ends(d)
			return until < uint32(now.Add(signedLeft).Unix()&0xffffffff) || from > uint32(now.Unix()&0xffffffff)
		})
	}
	c := *z // shares the names, which only writers change
	some := due(z.signing.start)
	for i, p := range z.signing.order {
		if !due(z.signing.sec[p.owner]) {
			continue
		}
		if c.signing == z.signing {
			n := *z.signing
			n.sec = maps.Clone(z.signing.sec)
			c.signing = &n
		}
		some = true
		c.signName(p.owner, i, nil, now)
	}
	if !some {
		return nil
	}
	if c.signing == z.signing {
		n := *z.signing
		return &n
	}
	return c.signing
}

// Sign has the zones signed with the keys from now on: with none, not at all.
// While there are two, each signs everything: so one takes the other's place.
func (d *DB) Sign(keys []dns.SigningKey, now time.Time) {
	keys = slices.Clone(keys)
	slices.SortFunc(keys, func(a, b dns.SigningKey) int { return cmp.Compare(a.Data, b.Data) })
	d.writing.Lock()
	defer d.writing.Unlock()
	if sameKeys(d.keys, keys) {
		return
	}
	next := map[string]*Zone{}
	for origin, z := range d.zones {
		next[origin] = z.clone()
	}
	vouch(next, d.keys, false)
	vouch(next, keys, true)
	for origin, z := range next {
		z.sign(keys, d.zones[origin], now)
	}
	d.mu.Lock()
	var changed []string
	for origin, z := range next {
		if z.follow(d.zones[origin], uint32(now.Unix()&0xffffffff), now) {
			changed = append(changed, origin)
		}
	}
	d.keys, d.zones = keys, next
	d.mu.Unlock()
	d.tell(changed)
}

// vouch adds or removes the records of keys: each zone's own, and those by which
// it vouches for the zones that it delegates.
func vouch(zones map[string]*Zone, keys []dns.SigningKey, add bool) {
	for origin, z := range zones {
		above := zoneOf(zones, origin)
		for _, k := range keys {
			z.put(origin, newData(dns.DNSKEY, zoneTTL, []byte(k.Data)), false, add)
			if above != nil {
				above.put(origin, newData(dns.DS, zoneTTL, k.DS(origin)), false, add)
			}
		}
	}
}

// zoneOf finds the zone that delegates an origin; nil: none of these.
func zoneOf(zones map[string]*Zone, origin string) *Zone {
	for name, ok := parentOf(origin); ok; name, ok = parentOf(name) {
		if z := zones[name]; z != nil {
			return z
		}
	}
	return nil
}

// clone copies a zone's names, so that they can change unseen.
func (z *Zone) clone() *Zone {
	c := newZone(z.origin, z.mname, z.mail)
	c.names = make(map[string]*node, len(z.names))
	for owner, n := range z.names {
		m := *n
		m.entries = slices.Clone(n.entries)
		c.names[owner] = &m
	}
	return c
}

// secure is what the zone says of a name in signed form; nil: it is not signed.
func (z *Zone) secure(name string) *Secure {
	s := z.signing
	if s == nil {
		return nil
	}
	f := &Secure{Records: s.sec[name], Start: s.start}
	if at, ok := s.find(orderKey(name)); ok {
		f.Denial = s.denial(at)
		return f
	}
	f.Denial = s.before(name)
	if z.names[name] != nil { // it exists by what is below it
		return f
	}
	closest := name
	for z.names[closest] == nil {
		above, ok := parentOf(closest)
		if !ok {
			return f
		}
		closest = above
	}
	for _, i := range s.before("\x01*" + closest) { // no wildcard has it
		if !slices.Contains(f.Denial, i) {
			f.Denial = append(f.Denial, i)
		}
	}
	return f
}

// before is the denial of a name that is not in the order.
func (s *signing) before(name string) []Item {
	at, _ := s.find(orderKey(name))
	return s.denial((at + len(s.order) - 1) % len(s.order))
}

// denial is the NSEC of the i-th name, and its signatures.
func (s *signing) denial(i int) (list []Item) {
	owner := s.order[i].owner
	for _, d := range s.sec[owner] {
		if d.Kind() == dns.NSEC || covers(d, dns.NSEC) {
			list = append(list, Item{owner, d})
		}
	}
	return list
}
