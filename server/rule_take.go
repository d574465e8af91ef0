package server

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/alloc"
	"sprout/api"
	"sprout/audit"
	"sprout/provision"
	"sprout/store"
	"sprout/workflow"
)

// A judged is what one rule makes of a machine.
type judged struct {
	rule  sprout.Rule
	lacks []alloc.Lack
	first bool // it meets all constraints, and no rule before does
}

// judge says what rules, in the order in which they are asked, make of a machine. It
// is pure. A rule that cannot be read takes nothing, and says so.
func judge(p alloc.Provider, rules []sprout.Rule, m *sprout.Machine) (all []judged) {
	found := false
	for _, r := range rules {
		j := judged{rule: r}
		var want alloc.Request
		if err := json.Unmarshal(r.Request, &want); err != nil {
			j.lacks = []alloc.Lack{{Constraint: "a rule that can be read", Has: err.Error()}}
		} else {
			want.State = sprout.Discovered
			j.lacks = p.Lacks(want, m)
		}
		j.first = len(j.lacks) == 0 && !found
		found = found || j.first
		all = append(all, j)
	}
	return all
}

// winner returns the rule that takes the machine.
func winner(all []judged) (sprout.Rule, bool) {
	for _, j := range all {
		if j.first {
			return j.rule, true
		}
	}
	return sprout.Rule{}, false
}

// A present is what a machine gets of the rule that takes it.
type present struct {
	name string
	bmc  *sprout.BMC // without its password
}

// mostCounted is how many numbers are passed over that machines have already.
const mostCounted = 1000

// giftOf works out what a rule gives a machine. Conflict if it cannot: the name is
// taken, say. given are names that are as good as taken, with the site before them.
func (s *Server) giftOf(ctx context.Context, look *store.Store, r sprout.Rule, m *sprout.Machine, given map[string]bool) (g present, err error) {
	for n := r.Taken + 1; n <= r.Taken+mostCounted; n++ {
		if g.name, err = r.NameOf(m, n); err != nil {
			return g, err
		}
		taken := given[string(m.Site)+"/"+g.name]
		if !taken {
			if taken, err = look.HasName(ctx, m.Site, g.name, m.ID); err != nil {
				return g, err
			}
		}
		if !taken {
			g.bmc, err = r.BMCOf(m, n)
			return g, err
		}
		if !r.Counts() {
			break
		}
	}
	return g, sprout.Errorf(sprout.Conflict, "cannot name it %s: another machine of site %s is called so", g.name, m.SiteName)
}

// takeIn has a machine that waits taken by the first rule that it meets, in the
// transaction in which its inventory arrives. Where the rule cannot give what it
// says the machine waits, with a problem that says why: no other rule takes it then,
// as which one that is should not depend on who came before.
func (s *Server) takeIn(ctx context.Context, tx pgx.Tx, id sprout.MachineID) error {
	rules, err := s.store.In(tx).EveryRule(ctx)
	if err != nil || len(rules) == 0 {
		return err
	}
	m, err := s.store.In(tx).Machine(ctx, id)
	if err != nil {
		return err
	}
	if _, some := winner(judge(s.desk.shelf.provider, rules, &m)); !some {
		_, err := s.store.ClearProblems(ctx, tx, string(id), sprout.RuleRefused)
		return err
	}
	if rules, err = s.store.LockRules(ctx, tx); err != nil { // as they are now
		return err
	}
	r, some := winner(judge(s.desk.shelf.provider, rules, &m))
	if !some {
		return nil
	}
	record := sprout.AuditRecord{Kind: sprout.AuditSystem, Actor: systemActor, Action: "machine accept", Outcome: "done"}
	err = s.store.Try(ctx, tx, func(ctx context.Context) error {
		_, err := s.takeBy(ctx, tx, r, m, record)
		return err
	})
	if sprout.KindOf(err) == sprout.Conflict {
		return s.tellMachine(ctx, tx, id, sprout.RuleRefused, []string{fmt.Sprintf("rule %s: %v", r.Name, err)})
	}
	return err
}

// takeBy accepts a machine by a rule, and gives it what the rule says: all of it, or
// nothing and a Conflict. The rules are locked.
func (s *Server) takeBy(ctx context.Context, tx pgx.Tx, r sprout.Rule, m sprout.Machine, record sprout.AuditRecord) (as string, err error) {
	g, err := s.giftOf(ctx, s.store.In(tx), r, &m, nil)
	if err != nil {
		return "", err
	}
	reason := "accepted by rule " + r.Name
	if _, err := s.store.MoveMachine(ctx, tx, m.ID, sprout.Accept, record.Actor, reason); err != nil {
		return "", err
	}
	if err := s.giveBy(ctx, tx, r, g, m); err != nil {
		return "", err
	}
	if err := s.store.TakeByRule(ctx, tx, r.Name, m.ID); err != nil {
		return "", err
	}
	after, err := s.store.In(tx).Machine(ctx, m.ID)
	if err != nil {
		return "", err
	}
	about(&record, m.Site, m.ID, g.name)
	record.Detail, record.Changes = reason, audit.Diff(m, after)
	if err := s.store.Audit(ctx, tx, record); err != nil || !r.Commission {
		return g.name, err
	}
	return g.name, s.commissionBy(ctx, tx, after, record)
}

// giveBy changes a machine as the rule says.
func (s *Server) giveBy(ctx context.Context, tx pgx.Tx, r sprout.Rule, g present, m sprout.Machine) error {
	change := store.MachineChange{Name: &g.name}
	if len(r.Tags) > 0 {
		change.Tags = new(union(m.Tags, r.Tags))
	}
	set := func(to **string, value string) {
		if value != "" {
			*to = &value
		}
	}
	set(&change.Pool, r.Pool)
	set(&change.Zone, r.Zone)
	if err := s.store.UpdateMachine(ctx, tx, m.ID, change); err != nil || g.bmc == nil {
		return err
	}
	password, err := s.store.In(tx).RulePassword(ctx, r.Name)
	if err != nil {
		return err
	}
	g.bmc.Password = password
	return s.store.SetBMC(ctx, tx, m.ID, *g.bmc)
}

// commissionBy starts the commissioning of a machine that a rule took, in the same
// transaction.
func (s *Server) commissionBy(ctx context.Context, tx pgx.Tx, m sprout.Machine, record sprout.AuditRecord) error {
	if err := mayCommission(m); err != nil {
		return err
	}
	id := sprout.NewID[sprout.WorkflowID](sprout.PrefixWorkflow)
	record.Action, record.Changes = api.MachineCommission.Name, nil
	record.Detail += ", as " + string(id)
	origin := withOrigin(withTx(ctx, tx), store.Origin{Site: m.Site, Machine: m.ID, Actor: record.Actor, Request: record.Request})
	if _, err := s.engine.Start(origin, string(id), provision.Commission, provision.CommissionInput{Machine: m.ID}, workflow.StartOptions{}); err != nil {
		return err
	}
	return s.store.Audit(ctx, tx, record)
}

// union is the words of both, each once.
func union(a, b []string) []string {
	out := append([]string{}, a...)
	for _, word := range b {
		if !slices.Contains(out, word) {
			out = append(out, word)
		}
	}
	return out
}
