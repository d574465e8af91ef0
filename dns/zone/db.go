// Package zone is the zones of a site in memory: changed record by record, each
// with a serial that only rises and a journal of its changes, and answered from
// without a copy. It must not know where records come from, nor sockets.
package zone

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"sprout"
	"sprout/dns"
)

// A DB is the zones of a site. Its methods may be called from any goroutine.
type DB struct {
	writing sync.Mutex // held by who changes anything, before mu
	now     func() time.Time

	mu     sync.RWMutex
	layout Layout
	keys   []dns.SigningKey // that the zones are signed with
	zones  map[string]*Zone // by origin, on the wire
	depths [128]bool        // how many labels origins have: where to look for them

	watching sync.Mutex
	watch    func(origins []string)
}

// New makes a DB without zones.
func New() *DB { return &DB{zones: map[string]*Zone{}, now: time.Now} }

// Watch has f called with the origins of zones after they changed or went, one
// call at a time. It must not block.
func (d *DB) Watch(f func(origins []string)) {
	d.watching.Lock()
	defer d.watching.Unlock()
	d.watch = f
}

func (d *DB) tell(origins []string) {
	d.watching.Lock()
	defer d.watching.Unlock()
	if d.watch != nil && len(origins) > 0 {
		d.watch(origins)
	}
}

// Load makes the zones those of a layout with these records: all of them, once
// at the start and where the layout changes. A zone that stays keeps its serial
// and journal; what is new in it is one delta. serial is that of the state.
func (d *DB) Load(l Layout, records iter.Seq[sprout.Record], serial uint32) {
	d.writing.Lock()
	defer d.writing.Unlock()
	fresh, now := fresh(l, records), d.now()
	vouch(fresh.zones, d.keys, true)
	for origin, z := range fresh.zones {
		z.sign(d.keys, d.zones[origin], now)
	}
	d.mu.Lock()
	var changed []string
	for origin, z := range fresh.zones {
		if z.follow(d.zones[origin], serial, now) {
			changed = append(changed, origin)
		}
	}
	for origin := range d.zones {
		if fresh.zones[origin] == nil {
			changed = append(changed, origin)
		}
	}
	d.layout, d.zones, d.depths = fresh.layout, fresh.zones, fresh.depths
	d.mu.Unlock()
	d.tell(changed)
}

// fresh makes the zones without serials.
func fresh(l Layout, records iter.Seq[sprout.Record]) *DB {
	d := New()
	d.layout = l
	server := dns.Wire(l.server())
	for _, origin := range l.origins() {
		wire := dns.Wire(origin)
		d.zones[wire] = newZone(wire, server, dns.Wire(l.mail(origin)))
		d.depths[strings.Count(origin, ".")+1] = true
	}
	for origin := range d.zones { // where one zone lies in another, that one delegates it
		if above, ok := parentOf(origin); ok && d.find(above) != nil {
			d.find(above).put(origin, newData(dns.NS, zoneTTL, []byte(server)), false, true)
		}
	}
	for _, i := range l.own() {
		d.put(i, false)
	}
	for r := range records {
		for _, i := range l.items(r) {
			d.put(i, r.Source == sprout.UpdateRecord)
		}
	}
	return d
}

func (d *DB) put(i Item, local bool) {
	if z := d.find(i.Owner); z != nil {
		z.put(i.Owner, i.Data, local, true)
	}
}

// follow takes the place of what a zone was: nil, if there was none.
func (z *Zone) follow(was *Zone, serial uint32, now time.Time) (changed bool) {
	if was == nil {
		if z.signing != nil { // before a restart it was signed anew, perhaps, and its serial raised
			serial = max(serial, uint32(now.Unix()&0xffffffff))
		}
		z.setSerial(serial)
		if z.signing != nil {
			z.signStart(now)
		}
		return true
	}
	z.journal, z.kept = was.journal, was.kept
	z.setSerial(was.serial)
	var delta Delta
	for owner := range was.names {
		delta.Del = append(delta.Del, without(owner, was.whole(owner), z.whole(owner))...)
	}
	for owner := range z.names {
		delta.Add = append(delta.Add, without(owner, z.whole(owner), was.whole(owner))...)
	}
	if z.signing != nil {
		z.signing.start = was.startSec()
	} else {
		delta.Del = append(delta.Del, items(z.origin, was.startSec())...)
	}
	if len(delta.Del)+len(delta.Add) == 0 {
		return false
	}
	z.note(delta, serial, now)
	return true
}

// whole lists what a name has, and what signs it.
func (z *Zone) whole(owner string) []Data { return append(z.served(owner), z.sec(owner)...) }

// Change replaces records of the site's by others. Every zone that it changes
// takes the serial, or one more than it had.
func (d *DB) Change(remove, add []sprout.Record, serial uint32) {
	d.writing.Lock()
	defer d.writing.Unlock()
	now := d.now()
	d.mu.Lock()
	edits := map[*Zone]*edit{}
	d.edit(edits, remove, false)
	d.edit(edits, add, true)
	var changed []string
	for z, e := range edits {
		if e.commit(serial, now) {
			changed = append(changed, z.origin)
		}
	}
	d.mu.Unlock()
	d.tell(changed)
}

// edit adds or removes records, each in the zone that it is in.
func (d *DB) edit(edits map[*Zone]*edit, records []sprout.Record, add bool) {
	for _, r := range records {
		for _, i := range d.layout.items(r) {
			z := d.find(i.Owner)
			if z == nil {
				continue
			}
			if edits[z] == nil {
				edits[z] = &edit{z: z, before: map[string][]Data{}}
			}
			edits[z].put(i.Owner, i.Data, r.Source == sprout.UpdateRecord, add)
		}
	}
}

// find returns the zone that a name is in: the deepest one. The caller holds
// the lock.
func (d *DB) find(name string) *Zone {
	for {
		if z := d.zones[name]; z != nil {
			return z
		}
		next, ok := parentOf(name)
		if !ok {
			return nil
		}
		name = next
	}
}

// Zone returns what the zone of that origin is now; false if there is none.
func (d *DB) Zone(origin string) (State, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	z := d.zones[origin]
	if z == nil {
		return State{}, false
	}
	return State{z.origin, z.serial, z.SOA()}, true
}

// A State is a zone at one moment.
type State struct {
	Origin string // on the wire
	Serial uint32
	SOA    Item
}

// Origins lists the zones, in order.
func (d *DB) Origins() []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.Sorted(maps.Keys(d.zones))
}

// Transfer returns a zone whole, the SOA of the same moment apart.
func (d *DB) Transfer(origin string) (soa Item, items []Item, ok bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	z := d.zones[origin]
	if z == nil {
		return Item{}, nil, false
	}
	return z.SOA(), z.Items(), true
}

// A Step is a delta with the SOAs that it leads from and to.
type Step struct {
	From, To Item
	Del, Add []Item
}

// Changes returns how a zone came from a serial to what it is now, and the SOA
// of that; ok is false where the journal does not say.
func (d *DB) Changes(origin string, since uint32) (soa Item, steps []Step, ok bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	z := d.zones[origin]
	if z == nil {
		return Item{}, nil, false
	}
	deltas, ok := z.since(since)
	for _, delta := range deltas {
		from, to := z.soaOf(delta.From).withTTL(zoneTTL), z.soaOf(delta.To).withTTL(zoneTTL)
		steps = append(steps, Step{Item{origin, from}, Item{origin, to}, delta.Del, delta.Add})
	}
	return z.SOA(), steps, ok
}

// A Found is what the zones have at a name.
type Found struct {
	Zone     State
	Apex     bool   // it is the zone's own name
	Negative Data   // the SOA that says that there is nothing
	Records  []Data // served there, by kind
	Exists   bool   // the name, if without records
	Given    bool   // the centre or the zone itself gave some of it
	Local    []Data // what updates made, each with its own TTL
	Secure   *Secure
}

// A Secure is what a signed zone has for one name (RFC 4035 section 3.1).
type Secure struct {
	Records []Data // its NSEC, and signatures of its records
	Start   []Data // signatures of the zone's SOA
	Denial  []Item // what proves that the name, or what it lacks, is not there
}

// Look returns what is at a name, on the wire and in lower case; false: it is
// in no zone.
func (d *DB) Look(name string) (Found, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.look(d.find(name), name)
}

// LookAbove is Look in the zone that delegates the zone of that name: what vouches
// for a zone is there (RFC 4035 section 3.1.4.1).
func (d *DB) LookAbove(name string) (Found, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.look(zoneOf(d.zones, name), name)
}

func (d *DB) look(z *Zone, name string) (Found, bool) {
	if z == nil {
		return Found{}, false
	}
	f := Found{Secure: z.secure(name), Zone: State{z.origin, z.serial, z.SOA()}, Apex: name == z.origin, Negative: z.soa, Records: z.served(name)}
	n := z.names[name]
	if n == nil {
		return f, true
	}
	f.Exists = true
	for _, e := range n.entries {
		f.Given = f.Given || e.given > 0
		if e.local {
			f.Local = append(f.Local, e.shown.withTTL(e.ttl))
		}
	}
	return f, true
}
