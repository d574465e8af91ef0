package powerdns

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	mdns "github.com/miekg/dns"

	"sprout/dns"
	"sprout/dns/builtin"
	"sprout/dns/zone"
)

// patchMost is how many sets one call replaces.
const patchMost = 1000

// A setKey names the records of a name and type.
type setKey struct {
	owner string // on the wire
	kind  dns.Kind
}

// told is what PowerDNS holds of a zone.
type told struct {
	serial uint32
	sets   map[setKey][]zone.Data
}

// change takes a step's records away and adds others, and returns whose sets
// that are.
func (t *told) change(del, add []zone.Item, touched map[setKey]bool) {
	for _, i := range del {
		k := setKey{i.Owner, i.Kind()}
		t.sets[k] = slices.DeleteFunc(slices.Clone(t.sets[k]), func(d zone.Data) bool { return d == i.Data })
		touched[k] = true
	}
	for _, i := range add {
		k := setKey{i.Owner, i.Kind()}
		t.sets[k] = append(t.sets[k], i.Data)
		touched[k] = true
	}
}

// sync brings a zone that changed: what changed, where PowerDNS is known to hold
// what was before, else all of it.
func (s *Server) sync(ctx context.Context, origin string) error {
	t := s.told[origin]
	if t == nil {
		_, err := s.compare(ctx, origin)
		return err
	}
	soa, steps, ok := s.config.Zones.Changes(origin, t.serial)
	if !ok {
		_, err := s.compare(ctx, origin)
		return err
	}
	delete(s.told, origin) // until PowerDNS has said yes nobody knows
	touched := map[setKey]bool{}
	for _, step := range steps {
		t.change(step.Del, step.Add, touched)
	}
	var sets []rrset
	for k := range touched {
		set, err := setOf(k, t.sets[k])
		if err != nil {
			return err
		}
		if len(t.sets[k]) == 0 {
			delete(t.sets, k)
		}
		sets = append(sets, set)
	}
	if err := s.bring(ctx, s.ids[origin], sets, soa); err != nil {
		return err
	}
	t.serial = serialOf(soa)
	s.told[origin] = t
	return nil
}

// bring has PowerDNS take sets, and last the start of authority: whoever sees the
// serial sees the zone whole.
func (s *Server) bring(ctx context.Context, id string, sets []rrset, soa zone.Item) error {
	slices.SortFunc(sets, func(a, b rrset) int { // what goes goes first: an alias may take its place
		return cmp.Or(cmp.Compare(a.Change, b.Change), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type))
	})
	last, err := setOf(setKey{soa.Owner, dns.SOA}, []zone.Data{soa.Data})
	if err != nil {
		return err
	}
	for part := range slices.Chunk(append(sets, last), patchMost) {
		if err := s.api.patch(ctx, id, part); err != nil {
			return err
		}
	}
	return nil
}

// compare brings a zone as a whole: what PowerDNS holds otherwise is replaced,
// and returned in words. A zone that the site has no more is removed.
func (s *Server) compare(ctx context.Context, origin string) (differs []string, err error) {
	delete(s.told, origin)
	soa, items, ok := s.config.Zones.Transfer(origin)
	if !ok {
		return nil, s.drop(ctx, origin)
	}
	has, err := s.open(ctx, origin)
	if err != nil {
		return nil, err
	}
	t := &told{serialOf(soa), map[setKey][]zone.Data{}}
	t.change(nil, items, map[setKey]bool{})
	sets, err := t.unlike(has.Sets)
	if err != nil {
		return nil, err
	}
	start, err := setOf(setKey{origin, dns.SOA}, []zone.Data{soa.Data})
	if err != nil {
		return nil, err
	}
	stale := !slices.ContainsFunc(has.Sets, func(r rrset) bool { return r.Type == "SOA" && r.text() == start.text() })
	if stale || len(sets) > 0 {
		if err := s.bring(ctx, has.ID, sets, soa); err != nil {
			return nil, err
		}
	}
	s.told[origin], s.ids[origin] = t, has.ID
	for _, set := range sets {
		differs = append(differs, set.Name+" "+set.Type)
	}
	if stale {
		differs = append(differs, start.Name+" SOA")
	}
	return differs, nil
}

// unlike are the sets but the start of authority that PowerDNS must be told, as it
// has others.
func (t *told) unlike(has []rrset) (sets []rrset, err error) {
	there := map[string]rrset{}
	for _, set := range has {
		if set.Type != "SOA" {
			there[set.Name+" "+set.Type] = set
		}
	}
	for k, data := range t.sets {
		set, err := setOf(k, data)
		if err != nil {
			return nil, err
		}
		name := set.Name + " " + set.Type
		if is, ok := there[name]; !ok || is.text() != set.text() {
			sets = append(sets, set)
		}
		delete(there, name)
	}
	for _, set := range there {
		sets = append(sets, rrset{Name: set.Name, Type: set.Type, Change: "DELETE", Records: []content{}})
	}
	return sets, nil
}

// open finds the zone in PowerDNS, or makes it. One that others made is left
// alone, unless it may be taken over.
func (s *Server) open(ctx context.Context, origin string) (z zoneInfo, err error) {
	z, err = s.find(ctx, origin)
	switch {
	case err != nil:
		return z, err
	case z.ID == "":
		return s.api.create(ctx, readable(origin), s.account())
	case z.Account == s.account():
	case !s.config.TakeOver:
		owner := "it has no account"
		if z.Account != "" {
			owner = "its account is " + z.Account
		}
		return z, &reason{
			"PowerDNS has the zone " + z.Name + ", which Sprout did not make for this site, and does not replace: remove it, or set dns.powerdns.takeOver to true in the agent's configuration", owner,
		}
	default:
		s.config.Log.Warn("zone in PowerDNS is taken over", "zone", z.Name, "was", z.Account)
		if err := s.api.takeOver(ctx, z.ID, s.account()); err != nil {
			return z, err
		}
	}
	return s.api.read(ctx, z.ID)
}

// find finds a zone by its name, without records; an empty ID: there is none.
func (s *Server) find(ctx context.Context, origin string) (zoneInfo, error) {
	list, err := s.api.named(ctx, readable(origin))
	if err != nil || len(list) == 0 {
		return zoneInfo{}, err
	}
	return list[0], nil
}

// drop removes a zone that the site has no more.
func (s *Server) drop(ctx context.Context, origin string) error {
	z, err := s.find(ctx, origin)
	if err != nil || z.ID == "" || z.Account != s.account() {
		return err
	}
	delete(s.ids, origin)
	s.config.Log.Info("zone is removed from PowerDNS: the site has it no more", "zone", z.Name)
	return s.api.remove(ctx, z.ID)
}

// setOf is a set as PowerDNS is told it; without records: that it goes.
func setOf(k setKey, data []zone.Data) (rrset, error) {
	set := rrset{Name: readable(k.owner), Type: mdns.TypeToString[uint16(k.kind)], Change: "REPLACE", Records: []content{}}
	if len(data) == 0 {
		set.Change = "DELETE"
		return set, nil
	}
	for _, d := range data {
		rr, err := builtin.RR(zone.Item{Owner: k.owner, Data: d})
		if err != nil {
			return set, err
		}
		set.TTL = d.TTL()
		set.Records = append(set.Records, content{Content: strings.TrimPrefix(rr.String(), rr.Header().String())})
	}
	return set, nil
}

// text is a set in one form whoever wrote it.
func (r rrset) text() string {
	var list []string
	for _, c := range r.Records {
		text := c.Content
		if rr, err := mdns.NewRR(fmt.Sprintf("%s %d IN %s %s", r.Name, r.TTL, r.Type, c.Content)); err == nil && rr != nil {
			text = strings.TrimPrefix(rr.String(), rr.Header().String())
		}
		list = append(list, fmt.Sprintf("%t %s", c.Disabled, text))
	}
	slices.Sort(list)
	return fmt.Sprint(r.TTL, list)
}

func serialOf(soa zone.Item) uint32 {
	v := soa.Value()
	at := len(v) - 20
	return uint32(v[at])<<24 | uint32(v[at+1])<<16 | uint32(v[at+2])<<8 | uint32(v[at+3])
}

// readable is a name as PowerDNS has it, with the final dot.
func readable(wire string) string { return dns.Unwire(wire) + "." }
