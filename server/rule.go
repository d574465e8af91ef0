package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/audit"
	"sprout/store"
)

// ruleOf reads a rule: networks, and the machine and the site that it names, are those
// of now.
func (s *Server) ruleOf(ctx context.Context, in api.NewRule) (r sprout.Rule, err error) {
	r = sprout.Rule{Name: in.Name, Priority: in.Priority, RuleGift: in.RuleGift, By: actor(ctx)}
	if err := r.Check(); err != nil {
		return r, err
	}
	_, want, err := s.wanted(ctx, in.Match)
	if err != nil {
		return r, sprout.Within("match", err)
	}
	if r.Constraints, err = json.Marshal(in.Match); err != nil {
		return r, err
	}
	r.Request, err = json.Marshal(want)
	return r, err
}

func (s *Server) ruleCreate(ctx context.Context, in *api.CreateRule) (out api.RuleReport, err error) {
	r, err := s.ruleOf(ctx, in.Body)
	if err != nil {
		return out, err
	}
	err = s.change(ctx, api.RuleCreate.Name, func(ctx context.Context, tx pgx.Tx, record *sprout.AuditRecord) error {
		if err := s.store.AddRule(ctx, tx, r); err != nil {
			return err
		}
		now, err := s.store.In(tx).Rule(ctx, r.Name)
		if err != nil {
			return err
		}
		out, err = reportRule(now)
		about(record, "", "rule "+r.Name, r.Name)
		record.Changes = append(passwordGiven(r.BMC), audit.Diff(nil, out)...)
		return err
	})
	return out, err
}

func reportRule(r sprout.Rule) (out api.RuleReport, err error) {
	out.Rule = r
	if err := json.Unmarshal(r.Constraints, &out.Match); err != nil {
		return out, fmt.Errorf("cannot read the constraints of rule %s: %w", r.Name, err)
	}
	return out, nil
}

func (s *Server) ruleList(ctx context.Context, in *api.Paging) (out api.Page[api.RuleReport], err error) {
	list, next, err := s.store.Rules(ctx, page(*in))
	var reports []api.RuleReport
	for _, r := range list {
		report, err := reportRule(r)
		if err != nil {
			return out, err
		}
		reports = append(reports, report)
	}
	return paged(reports, next, err)
}

func (s *Server) ruleShow(ctx context.Context, in *api.RuleRef) (api.RuleReport, error) {
	return s.findRule(ctx, in.Rule)
}

func (s *Server) findRule(ctx context.Context, name string) (out api.RuleReport, err error) {
	defer func() { seen(ctx, err, "", "rule "+name, name) }()
	r, err := s.store.Rule(ctx, name)
	if sprout.KindOf(err) == sprout.NotFound {
		e := sprout.Errorf(sprout.NotFound, "cannot find rule %q", name)
		e.Field = "rule"
		return out, e.WithRemedy("sprout rule list")
	}
	if err != nil {
		return out, err
	}
	return reportRule(r)
}

func (s *Server) ruleSet(ctx context.Context, in *api.SetRule) (out api.RuleReport, err error) {
	before, err := s.findRule(ctx, in.Rule)
	if err != nil {
		return out, err
	}
	err = s.change(ctx, api.RuleSet.Name, func(ctx context.Context, tx pgx.Tx, record *sprout.AuditRecord) error {
		if err := s.store.Lock(ctx, tx, "rule", before.Name); err != nil {
			return err
		}
		was, err := s.store.In(tx).Rule(ctx, before.Name)
		if err != nil {
			return err
		}
		if before, err = reportRule(was); err != nil {
			return err
		}
		r, err := s.ruleOf(ctx, changedRule(before, in))
		if err != nil {
			return err
		}
		if err := s.store.SetRule(ctx, tx, r); err != nil {
			return err
		}
		if was, err = s.store.In(tx).Rule(ctx, r.Name); err != nil {
			return err
		}
		out, err = reportRule(was)
		about(record, "", "rule "+r.Name, r.Name)
		record.Changes = append(passwordGiven(in.Body.BMC), audit.Diff(before, out)...)
		return err
	})
	return out, err
}

// changedRule is what a rule says after a change.
func changedRule(r api.RuleReport, in *api.SetRule) api.NewRule {
	b := in.Body
	out := api.NewRule{Name: r.Name, Priority: r.Priority, Match: r.Match, RuleGift: r.RuleGift}
	over(&out.Priority, b.Priority)
	over(&out.Match, b.Match)
	over(&out.MachineName, b.MachineName)
	over(&out.Tags, b.Tags)
	over(&out.Pool, b.Pool)
	over(&out.Zone, b.Zone)
	over(&out.Commission, b.Commission)
	if b.BMC != nil {
		out.BMC = b.BMC
	}
	return out
}

// over sets what is given.
func over[T any](to *T, given *T) {
	if given != nil {
		*to = *given
	}
}

func (s *Server) ruleDelete(ctx context.Context, in *api.RuleRef) (api.None, error) {
	r, err := s.findRule(ctx, in.Rule)
	if err != nil {
		return api.None{}, err
	}
	return api.None{}, s.change(ctx, api.RuleDelete.Name, func(ctx context.Context, tx pgx.Tx, record *sprout.AuditRecord) error {
		about(record, "", "rule "+r.Name, r.Name)
		record.Changes = audit.Diff(r, nil)
		return s.store.DeleteRule(ctx, tx, r.Name)
	})
}

// waiting are the machines that wait to be accepted, the oldest first.
func (s *Server) waiting(ctx context.Context) ([]sprout.Machine, error) {
	return all(func(p store.Page) ([]sprout.Machine, string, error) {
		return s.store.Machines(ctx, store.MachineFilter{States: []sprout.State{sprout.Discovered}, Page: p})
	})
}

func (s *Server) ruleTry(ctx context.Context, in *api.CreateRule) (out api.RuleRound, err error) {
	r, err := s.ruleOf(ctx, in.Body)
	if err != nil {
		return out, err
	}
	rules, err := s.store.EveryRule(ctx)
	if err != nil {
		return out, err
	}
	for _, other := range rules {
		if other.Name == r.Name {
			e := sprout.Errorf(sprout.Conflict, "cannot make rule %s: a rule of this name exists", r.Name)
			e.Field = "name"
			return out, e.WithRemedy("sprout rule run %s --plan", r.Name)
		}
		r.Number = max(r.Number, other.Number+1)
	}
	rules = append(rules, r)
	slices.SortFunc(rules, func(a, b sprout.Rule) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Number, b.Number))
	})
	return s.planRule(ctx, r, rules)
}

// planRule says what a rule would take, of rules in the order in which they are asked.
func (s *Server) planRule(ctx context.Context, r sprout.Rule, rules []sprout.Rule) (out api.RuleRound, err error) {
	waiting, err := s.waiting(ctx)
	out = api.RuleRound{Rule: r.Name, Waiting: len(waiting), Items: []api.RuleItem{}}
	given := map[string]bool{}
	for i := range waiting {
		m := &waiting[i]
		item, takes, meets := itemOf(r, judge(s.desk.shelf.provider, rules, m), m)
		if !meets {
			continue
		}
		if takes {
			g, err := s.giftOf(ctx, s.store, r, m, given)
			switch {
			case sprout.KindOf(err) == sprout.Conflict:
				item.Why = err.Error()
			case err != nil:
				return out, err
			default:
				item.Outcome, item.As, r.Taken = "would-take", g.name, r.Taken+1
				given[string(m.Site)+"/"+g.name] = true
			}
		}
		out.Items = append(out.Items, item)
	}
	return out, err
}

// itemOf begins the item of a machine, and tells whether the rule takes it, and whether
// it at least meets the rule's constraints.
func itemOf(r sprout.Rule, all []judged, m *sprout.Machine) (item api.RuleItem, takes, meets bool) {
	item = api.RuleItem{Machine: m.ID, Name: m.Name, Site: m.SiteName, Outcome: "left"}
	first, _ := winner(all)
	for _, j := range all {
		if j.rule.Name == r.Name {
			takes, meets = j.first, len(j.lacks) == 0
		}
	}
	if meets && !takes {
		item.Why = fmt.Sprintf("rule %s comes before, and it meets that too", first.Name)
	}
	return item, takes, meets
}

// ruleRun has a rule take the machines that wait and meet it. Each is a transaction of
// its own; for the others nothing is locked.
func (s *Server) ruleRun(ctx context.Context, in *api.RunRule) (out api.RuleRound, err error) {
	r, err := s.findRule(ctx, in.Rule)
	if err != nil {
		return out, err
	}
	rules, err := s.store.EveryRule(ctx)
	if err != nil {
		return out, err
	}
	if in.Body.Plan {
		return s.planRule(ctx, r.Rule, rules)
	}
	waiting, err := s.waiting(ctx)
	if err != nil {
		return out, err
	}
	out = api.RuleRound{Rule: r.Name, Waiting: len(waiting), Items: []api.RuleItem{}}
	for i := range waiting {
		m := &waiting[i]
		if _, _, meets := itemOf(r.Rule, judge(s.desk.shelf.provider, rules, m), m); !meets {
			continue
		}
		item, meets, err := s.runOn(ctx, r.Name, m.ID)
		if err != nil {
			return out, err
		}
		if meets {
			out.Items = append(out.Items, item)
		}
	}
	return out, nil
}

// runOn has the rule take one machine, as both are now.
func (s *Server) runOn(ctx context.Context, rule string, id sprout.MachineID) (item api.RuleItem, meets bool, err error) {
	err = s.store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		m, err := s.store.LockMachine(ctx, tx, id)
		if err != nil {
			return err
		}
		rules, err := s.store.LockRules(ctx, tx)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(rules, func(r sprout.Rule) bool { return r.Name == rule })
		if at < 0 {
			return sprout.Errorf(sprout.NotFound, "cannot run rule %s: somebody has deleted it", rule).WithRemedy("sprout rule list")
		}
		var takes bool
		item, takes, meets = itemOf(rules[at], judge(s.desk.shelf.provider, rules, &m), &m)
		if !takes {
			return nil
		}
		item.As, err = s.takeBy(ctx, tx, rules[at], m, s.record(ctx, api.MachineAccept.Name))
		return err
	})
	var known *sprout.Error
	switch {
	case sprout.KindOf(err) == sprout.Conflict && errors.As(err, &known):
		item.Why, item.As = known.Message, ""
		return item, meets, nil
	case sprout.KindOf(err) == sprout.NotFound && item.Machine == "": // it went meanwhile, or the rule did
		return item, false, err
	case item.As != "":
		item.Outcome = "taken"
	}
	return item, meets, err
}

func (s *Server) ruleExplain(ctx context.Context, in *api.MachineRef) (out api.RuleExplanation, err error) {
	m, err := s.findMachine(ctx, in.Machine)
	if err != nil {
		return out, err
	}
	rules, err := s.store.EveryRule(ctx)
	if err != nil {
		return out, err
	}
	out = api.RuleExplanation{Machine: m.Name, State: m.State, Rules: []api.RuleVerdict{}}
	if out.TakenBy, err = s.store.TakenBy(ctx, m.ID); err != nil {
		return out, err
	}
	for _, j := range judge(s.desk.shelf.provider, rules, &m) {
		v := api.RuleVerdict{Rule: j.rule.Name, Priority: j.rule.Priority, Fits: len(j.lacks) == 0, First: j.first, Lacks: filled(j.lacks)}
		if v.Fits {
			g, err := s.giftOf(ctx, s.store, j.rule, &m, nil)
			if err != nil && sprout.KindOf(err) != sprout.Conflict {
				return out, err
			}
			if v.As = g.name; err != nil {
				v.As, v.Why = "", err.Error()
			}
		}
		out.Rules = append(out.Rules, v)
	}
	return out, nil
}
