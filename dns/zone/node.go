package zone

import (
	"cmp"
	"encoding/binary"
	"slices"

	"sprout/dns"
)

// A Data is one resource record without its owner: as an answer to a question
// about the owner carries it, so that answering copies it. It begins with a
// pointer to the name in the question (RFC 1035 section 4.1.4), then come type,
// class, TTL, length and data. It is never changed.
type Data string

const (
	questionAt = 12 // where the name of the question lies in a message
	headLen    = 12 // octets before the data
)

// newData makes the record of a kind.
func newData(kind dns.Kind, ttl uint32, data []byte) Data {
	b := make([]byte, 0, headLen+len(data))
	b = append(b, 0xc0, questionAt)
	b = binary.BigEndian.AppendUint16(b, uint16(kind))
	b = append(b, 0, 1)
	b = binary.BigEndian.AppendUint32(b, ttl)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return Data(append(b, data...))
}

// Kind is the record's type.
func (d Data) Kind() dns.Kind { return dns.Kind(d[2])<<8 | dns.Kind(d[3]) }

// Value is the record's data, with names in full.
func (d Data) Value() string { return string(d[headLen:]) }

// TTL is in seconds.
func (d Data) TTL() uint32 {
	return uint32(d[6])<<24 | uint32(d[7])<<16 | uint32(d[8])<<8 | uint32(d[9])
}

// withTTL returns the record with another TTL.
func (d Data) withTTL(ttl uint32) Data {
	if d.TTL() == ttl {
		return d
	}
	b := []byte(d)
	binary.BigEndian.PutUint32(b[6:], ttl)
	return Data(b)
}

// same tells whether two are one record but for the TTL.
func (d Data) same(e Data) bool { return d[2:6] == e[2:6] && d[headLen:] == e[headLen:] }

// An entry is a record that was given, by whom, and as it is served.
type entry struct {
	shown  Data   // with the TTL of its set
	ttl    uint32 // as given
	given  uint16 // how many of the centre's records say so
	local  bool   // an update made it
	hidden bool   // it is not served
}

// A node is a name of a zone.
type node struct {
	entries []entry // those that are served first, by kind and data
	served  int     // how many are
	below   int     // names below it that have records: with any it exists
}

// all are the records that are served.
func (n *node) all() []entry { return n.entries[:n.served] }

// change adds or removes one giving of a record.
func (n *node) change(d Data, local, add bool) {
	i := slices.IndexFunc(n.entries, func(e entry) bool { return e.ttl == d.TTL() && e.shown.same(d) })
	switch {
	case i < 0 && !add:
		return
	case i < 0:
		n.entries = append(n.entries, entry{shown: d, ttl: d.TTL()})
		i = len(n.entries) - 1
	}
	e := &n.entries[i]
	switch {
	case local:
		e.local = add
	case add:
		e.given++
	case e.given > 0:
		e.given--
	}
	if e.given == 0 && !e.local {
		n.entries = slices.Delete(n.entries, i, i+1)
	}
	n.settle()
}

// settle brings the node into the form that is served: an alias stands alone
// (RFC 2181 section 10.1), so it gives way to other records; records of a kind
// have one TTL, the least (section 5.2), and none is there twice.
func (n *node) settle() {
	all := n.entries
	slices.SortFunc(all, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.shown.Kind(), b.shown.Kind()), cmp.Compare(a.shown[headLen:], b.shown[headLen:]), cmp.Compare(a.ttl, b.ttl))
	})
	aliases := len(all) == 0 || all[0].shown.Kind() == dns.CNAME && all[len(all)-1].shown.Kind() == dns.CNAME
	for i := range all {
		e := &all[i]
		switch first := i == 0 || !all[i-1].shown.same(e.shown); {
		case e.shown.Kind() == dns.CNAME:
			e.hidden = !aliases || i > 0
		default:
			e.hidden = !first
		}
	}
	level(all)
	slices.SortStableFunc(all, func(a, b entry) int {
		return cmp.Compare(rank(a.hidden), rank(b.hidden))
	})
	n.served = slices.IndexFunc(all, func(e entry) bool { return e.hidden })
	if n.served < 0 {
		n.served = len(all)
	}
}

func rank(hidden bool) int {
	if hidden {
		return 1
	}
	return 0
}

// level gives the records of each kind, which lie together, their least TTL.
func level(all []entry) {
	for i := 0; i < len(all); {
		j, least := i, all[i].ttl
		for ; j < len(all) && all[j].shown.Kind() == all[i].shown.Kind(); j++ {
			least = min(least, all[j].ttl)
		}
		for ; i < j; i++ {
			all[i].shown = all[i].shown.withTTL(least)
		}
	}
}

// parentOf cuts the first label off a name; the root has no parent.
func parentOf(name string) (string, bool) {
	if len(name) < 2 {
		return "", false
	}
	return name[1+name[0]:], true
}

// lower writes name in lower case over itself (RFC 4343).
func lower(name []byte) {
	for i, c := range name {
		if c-'A' < 26 {
			name[i] = c | 0x20
		}
	}
}
