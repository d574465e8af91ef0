package zone

import (
	"slices"
	"time"

	"sprout/dns"
)

// What is said of every zone (RFC 1912 section 2.2, RFC 2308 section 5).
const (
	negativeTTL = 10   // seconds that "no such name" is kept: short, hosts come and go
	soaRefresh  = 3600 // seconds; secondaries hear of changes by NOTIFY before
	soaRetry    = 600
	soaExpire   = 7 * 86400
	zoneTTL     = 3600 // of the zone's own NS and SOA records
)

// journalRecords bounds a zone's journal: how many records its deltas hold.
// Who is further behind transfers the zone whole (RFC 1995 section 4).
const journalRecords = 4096

// A Zone is one zone with its journal. DB guards it.
type Zone struct {
	origin  string // on the wire
	mname   string // the name server, on the wire
	mail    string // who answers for it, on the wire
	names   map[string]*node
	serial  uint32
	soa     Data // of the serial, with the TTL of negative answers
	own     Data // the same with the zone's own TTL
	journal []Delta
	kept    int      // records in the journal
	signing *signing // nil: it is not signed
}

// An Item is a record and its owner.
type Item struct {
	Owner string // on the wire, in lower case
	Data
}

// A Delta is the step from one serial to the next.
type Delta struct {
	From, To uint32
	Del, Add []Item
}

func newZone(origin, mname, mail string) *Zone {
	z := &Zone{origin: origin, mname: mname, mail: mail, names: map[string]*node{}}
	z.names[origin] = &node{}
	z.put(origin, newData(dns.NS, zoneTTL, []byte(mname)), false, true)
	return z
}

// Origin is the zone's name on the wire.
func (z *Zone) Origin() string { return z.origin }

// Serial is RFC 1982's: it only rises.
func (z *Zone) Serial() uint32 { return z.serial }

// SOA is the start of authority of the present serial.
func (z *Zone) SOA() Item { return Item{z.origin, z.own} }

// soaOf makes the start of authority of a serial.
func (z *Zone) soaOf(serial uint32) Data {
	data := append([]byte(z.mname), z.mail...)
	for _, n := range []uint32{serial, soaRefresh, soaRetry, soaExpire, negativeTTL} {
		data = append(data, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return newData(dns.SOA, negativeTTL, data)
}

// setSerial makes the zone's state that of a serial.
func (z *Zone) setSerial(serial uint32) {
	z.serial, z.soa = serial, z.soaOf(serial)
	z.own = z.soa.withTTL(zoneTTL)
}

// put adds or removes one giving of a record, and the names between it and the
// origin: they exist without records (RFC 8020).
func (z *Zone) put(owner string, d Data, local, add bool) {
	n := z.names[owner]
	if n == nil {
		if !add {
			return
		}
		n = &node{}
		z.names[owner] = n
	}
	had := len(n.entries) > 0
	n.change(d, local, add)
	has := len(n.entries) > 0
	if had != has && owner != z.origin {
		z.count(owner, map[bool]int{true: 1, false: -1}[has])
	}
	if !has && n.below == 0 && owner != z.origin {
		delete(z.names, owner)
	}
}

// count tells every name above owner that one more, or less, is below it.
func (z *Zone) count(owner string, by int) {
	for owner != z.origin {
		above, ok := parentOf(owner)
		if !ok {
			return
		}
		n := z.names[above]
		if n == nil {
			n = &node{}
			z.names[above] = n
		}
		n.below += by
		if n.below == 0 && len(n.entries) == 0 && above != z.origin {
			delete(z.names, above)
		}
		owner = above
	}
}

// served lists what a name has.
func (z *Zone) served(owner string) (list []Data) {
	if n := z.names[owner]; n != nil {
		for _, e := range n.all() {
			list = append(list, e.shown)
		}
	}
	return list
}

// without lists what is in a and not in b.
func without(owner string, a, b []Data) (list []Item) {
	for _, d := range a {
		if !slices.Contains(b, d) {
			list = append(list, Item{owner, d})
		}
	}
	return list
}

// An edit is a change of a zone in the making.
type edit struct {
	z      *Zone
	before map[string][]Data // what the names that it touches had
}

func (e *edit) put(owner string, d Data, local, add bool) {
	if _, ok := e.before[owner]; !ok {
		e.before[owner] = e.z.served(owner)
	}
	e.z.put(owner, d, local, add)
}

// commit makes the edit a delta, if anything that is served has changed.
func (e *edit) commit(serial uint32, now time.Time) bool {
	var d Delta
	var owners []string
	for owner, before := range e.before {
		after := e.z.served(owner)
		if !slices.Equal(before, after) {
			owners = append(owners, owner)
		}
		d.Del = append(d.Del, without(owner, before, after)...)
		d.Add = append(d.Add, without(owner, after, before)...)
	}
	if len(d.Del)+len(d.Add) == 0 {
		return false
	}
	if e.z.signing != nil {
		e.z.resignNames(&d, owners, now)
	}
	e.z.note(d, serial, now)
	return true
}

// note raises the serial and keeps the delta, in place of the oldest ones.
func (z *Zone) note(d Delta, serial uint32, now time.Time) {
	if int32(serial-z.serial) <= 0 { // RFC 1982 section 3.2
		serial = z.serial + 1
	}
	d.From, d.To = z.serial, serial
	d.Del = append(d.Del, items(z.origin, z.startSec())...)
	z.setSerial(serial)
	if z.signing != nil {
		z.signStart(now)
	}
	d.Add = append(d.Add, items(z.origin, z.startSec())...)
	z.journal, z.kept = append(z.journal, d), z.kept+len(d.Del)+len(d.Add)
	drop := 0
	for ; z.kept > journalRecords; drop++ {
		z.kept -= len(z.journal[drop].Del) + len(z.journal[drop].Add)
	}
	z.journal = slices.Delete(z.journal, 0, drop)
}

// since returns the deltas from a serial to the present one; false where the
// journal does not reach so far back.
func (z *Zone) since(serial uint32) ([]Delta, bool) {
	if serial == z.serial {
		return nil, true
	}
	for i, d := range z.journal {
		if d.From == serial {
			return slices.Clone(z.journal[i:]), true
		}
	}
	return nil, false
}

// Items lists every record but the SOA, the zone's own first.
func (z *Zone) Items() []Item {
	list := make([]Item, 0, len(z.names))
	for _, part := range [][]Data{z.startSec(), z.served(z.origin), z.sec(z.origin)} {
		list = append(list, items(z.origin, part)...)
	}
	for owner, n := range z.names {
		if owner == z.origin {
			continue
		}
		for _, e := range n.all() {
			list = append(list, Item{owner, e.shown})
		}
		list = append(list, items(owner, z.sec(owner))...)
	}
	return list
}

// items are records with their owner.
func items(owner string, all []Data) []Item {
	list := make([]Item, len(all))
	for i, d := range all {
		list[i] = Item{owner, d}
	}
	return list
}
