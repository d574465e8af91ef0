package store

import (
	"context"
	"strings"

	"sprout"
)

// A MachineFilter restricts a list of machines; zero fields do not.
type MachineFilter struct {
	Sites        sprout.Sites
	States       []sprout.State // any of them
	NotRetired   bool           // whatever else it is
	Name         string         // names that begin so
	Tag          string
	Labels       []sprout.Requirement // all of them
	Pool         string
	Zone         string
	Owner        string
	Architecture sprout.Architecture
	BootMode     sprout.BootMode
	Power        sprout.PowerState
	Problem      string // with an open problem of this code; AnyProblem: of any
	Page
}

// AnyProblem is the Problem of a filter that asks for no code.
const AnyProblem = "any"

var machineListing = listing[sprout.Machine]{"machine", "created", map[string]order[sprout.Machine]{
	"created": {[]key{text("m.id")}, func(m sprout.Machine) []string { return []string{string(m.ID)} }},
	"name":    {[]key{text(machineName), text("m.id")}, func(m sprout.Machine) []string { return []string{m.Name, string(m.ID)} }},
	"state":   {[]key{text("m.state"), text("m.id")}, func(m sprout.Machine) []string { return []string{string(m.State), string(m.ID)} }},
}}

// machineName is the name as its index has it: in the order of its bytes.
const machineName = `m.name COLLATE "C"`

// Machines lists machines, by default in the order they were made.
func (s *Store) Machines(ctx context.Context, f MachineFilter) ([]sprout.Machine, string, error) {
	var q selection
	among(&q, "m.site", f.Sites)
	switch len(f.States) {
	case 0:
	case 1:
		equal(&q, "m.state", f.States[0])
	default:
		q.where("m.state = ANY (%s)", f.States)
	}
	if f.NotRetired {
		q.where("m.state <> 'retired'")
	}
	begins(&q, machineName, f.Name)
	// The indexes of what few machines have hold only those: the conditions say
	// that none else is asked for.
	if f.Tag != "" {
		q.where("m.tags <> '{}' AND m.tags @> ARRAY[%s]::text[]", f.Tag)
	}
	if f.Pool != "" {
		q.where("m.pool <> '' AND m.pool = %s", f.Pool)
	}
	if f.Owner != "" {
		q.where("m.owner <> '' AND m.owner = %s", f.Owner)
	}
	meet(&q, f.Labels)
	equal(&q, "m.zone", f.Zone)
	equal(&q, "m.architecture", f.Architecture)
	equal(&q, "m.boot_mode", f.BootMode)
	equal(&q, "m.power", f.Power)
	switch f.Problem {
	case "":
	case AnyProblem:
		q.where("EXISTS (SELECT FROM problem p WHERE p.subject = m.id AND p.cleared_at IS NULL)")
	default:
		q.where("EXISTS (SELECT FROM problem p WHERE p.subject = m.id AND p.cleared_at IS NULL AND p.code = %s)", f.Problem)
	}
	return page(machineListing, f.Page, q, func(tail string, args ...any) ([]sprout.Machine, error) {
		return s.machines(ctx, tail, args...)
	})
}

// meet restricts a list to machines whose labels meet every requirement.
func meet(q *selection, all []sprout.Requirement) {
	has := sprout.Labels{}
	for _, r := range all {
		switch {
		case r.Exists && r.Not:
			q.where("NOT m.labels ? %s", r.Key)
		case r.Exists:
			q.where("m.labels <> '{}' AND m.labels ? %s", r.Key)
		case r.Not:
			q.where("NOT m.labels @> %s", sprout.Labels{r.Key: r.Value})
		case has[r.Key] != "" && has[r.Key] != r.Value:
			q.where("false") // one label has one value
		default:
			has[r.Key] = r.Value
		}
	}
	if len(has) > 0 {
		q.where("m.labels <> '{}' AND m.labels @> %s", has)
	}
}

// FindMachine returns the machine that ref names: an id, a name or SITE/NAME,
// else the unique beginning of an id or of a name. It looks in the sites only.
// Invalid, naming them, if several machines answer to ref.
func (s *Store) FindMachine(ctx context.Context, sites sprout.Sites, ref string) (sprout.Machine, error) {
	if len(ref) == len(idPattern) && strings.HasPrefix(ref, idPattern[:4]) {
		m, err := s.oneMachine(ctx, ref, "WHERE m.id = $1 AND ($2::text[] IS NULL OR m.site = ANY ($2))", ref, sites)
		if sprout.KindOf(err) != sprout.NotFound || err == nil {
			return m, err
		}
	}
	siteName, name, qualified := strings.Cut(ref, "/")
	if !qualified {
		siteName, name = "", ref
	}
	if name == "" {
		return sprout.Machine{}, sprout.InvalidField("machine", "must be a name, SITE/NAME or an id")
	}
	var scope selection
	among(&scope, "m.site", sites)
	equal(&scope, "s.name", siteName)
	ways := []func(q *selection){
		func(q *selection) { q.where("("+machineName+" = %[1]s OR m.id = %[1]s)", name) },
		func(q *selection) { begins(q, machineName, name) },
	}
	if strings.HasPrefix(name, idPattern[:4]) {
		ways = append(ways, func(q *selection) { q.where("m.id BETWEEN %s AND %s", name, name+strings.Repeat("z", len(idPattern))) })
	}
	for _, by := range ways {
		q := selection{append([]string{}, scope.conditions...), append([]any{}, scope.args...)}
		by(&q)
		list, err := s.machines(ctx, "WHERE "+strings.Join(q.conditions, " AND ")+" ORDER BY m.id LIMIT 6", q.args...)
		if err != nil || len(list) == 1 {
			return append(list, sprout.Machine{})[0], err
		}
		if len(list) > 1 {
			return ambiguous(ref, list)
		}
	}
	e := sprout.Errorf(sprout.NotFound, "cannot find machine %q", ref)
	e.Field = "machine"
	return sprout.Machine{}, e.WithRemedy("sprout machine list")
}

// idPattern has the form of a machine's id.
const idPattern = sprout.PrefixMachine + "_00000000000000000000000000"

func ambiguous(ref string, list []sprout.Machine) (sprout.Machine, error) {
	var names []string
	for _, m := range list {
		names = append(names, m.SiteName+"/"+m.Name)
	}
	return sprout.Machine{}, sprout.InvalidField("machine", "%q may be %s: say which", ref, strings.Join(names, " or "))
}
