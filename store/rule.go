package store

import (
	"context"
	"errors"
	"strconv"

	"github.com/jackc/pgx/v5"

	"sprout"
)

const ruleSelect = `SELECT r.name, r.number, r.priority, r.constraints, r.request, r.gift, r.taken, r.made_by, r.created_at, r.revision FROM rule r `

// ruleOrder is the order in which rules are asked.
const ruleOrder = `ORDER BY r.priority DESC, r.number `

var ruleListing = listing[sprout.Rule]{"rule", "turn", map[string]order[sprout.Rule]{
	"turn": {[]key{number("-r.priority"), number("r.number")}, func(r sprout.Rule) []string {
		return []string{strconv.Itoa(-r.Priority), strconv.FormatInt(r.Number, 10)}
	}},
}}

func scanRule(row pgx.CollectableRow) (r sprout.Rule, err error) {
	err = row.Scan(&r.Name, &r.Number, &r.Priority, &r.Constraints, &r.Request, &r.RuleGift, &r.Taken, &r.By, &r.CreatedAt, &r.Rev)
	return r, err
}

// Rules lists the rules of acceptance in the order in which they are asked.
func (s *Store) Rules(ctx context.Context, p Page) ([]sprout.Rule, string, error) {
	return page(ruleListing, p, selection{}, func(tail string, args ...any) ([]sprout.Rule, error) {
		return many(ctx, s.db, scanRule, ruleSelect+tail, args...)
	})
}

// EveryRule returns all rules in the order in which they are asked.
func (s *Store) EveryRule(ctx context.Context) ([]sprout.Rule, error) {
	return many(ctx, s.db, scanRule, ruleSelect+ruleOrder)
}

// LockRules is EveryRule, and keeps others from changing rules, and from taking machines
// by one, until tx ends: so of two machines with one name the second finds it taken.
func (s *Store) LockRules(ctx context.Context, tx pgx.Tx) ([]sprout.Rule, error) {
	if _, err := exec(ctx, tx, `LOCK TABLE rule IN SHARE ROW EXCLUSIVE MODE`); err != nil {
		return nil, err
	}
	return s.In(tx).EveryRule(ctx)
}

// Rule returns one.
func (s *Store) Rule(ctx context.Context, name string) (sprout.Rule, error) {
	r, err := one(ctx, s.db, scanRule, ruleSelect+`WHERE r.name = $1`, name)
	return r, orNotFound(err, "rule", name)
}

// AddRule makes a rule and seals the password of its BMCs. Conflict if one has its
// name, or if there are too many.
func (s *Store) AddRule(ctx context.Context, tx pgx.Tx, r sprout.Rule) error {
	if err := checkLabel(r.Name); err != nil {
		return err
	}
	all, err := s.LockRules(ctx, tx)
	if err != nil {
		return err
	}
	if len(all) >= sprout.MostRules {
		return sprout.Errorf(sprout.Conflict, "cannot make rule %s: there are %d already", r.Name, len(all)).WithRemedy("sprout rule delete RULE")
	}
	gift, sealed, err := s.sealRule(r)
	if err != nil {
		return err
	}
	_, err = exec(ctx, tx, `
		INSERT INTO rule (name, priority, constraints, request, gift, secret, made_by) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		r.Name, r.Priority, r.Constraints, r.Request, gift, sealed, r.By)
	return err
}

// SetRule replaces what a rule says. A password that is not given stays as it is for
// as long as the rule has a BMC with the same user.
func (s *Store) SetRule(ctx context.Context, tx pgx.Tx, r sprout.Rule) error {
	gift, sealed, err := s.sealRule(r)
	if err != nil {
		return err
	}
	n, err := exec(ctx, tx, `
		UPDATE rule SET priority = $2, constraints = $3, request = $4, gift = $5, revision = revision + 1,
			secret = coalesce($6, CASE WHEN $5::jsonb ? 'bmc' AND gift #>> '{bmc,username}' IS NOT DISTINCT FROM $5::jsonb #>> '{bmc,username}' THEN secret END)
		WHERE name = $1`, r.Name, r.Priority, r.Constraints, r.Request, gift, sealed)
	return mustTouch(n, err, "rule", r.Name)
}

// DeleteRule forgets a rule. The machines that it took stay as they are.
func (s *Store) DeleteRule(ctx context.Context, tx pgx.Tx, name string) error {
	n, err := exec(ctx, tx, `DELETE FROM rule WHERE name = $1`, name)
	return mustTouch(n, err, "rule", name)
}

// sealRule parts what a rule gives from the password, which it seals.
func (s *Store) sealRule(r sprout.Rule) (gift sprout.RuleGift, sealed []byte, err error) {
	gift = r.RuleGift
	if gift.BMC == nil {
		return gift, nil, nil
	}
	open := *gift.BMC
	open.Password = ""
	if password := gift.BMC.Password; password != "" {
		sealed, err = s.config.Key.Seal("rule "+r.Name, []byte(password))
	}
	gift.BMC = &open
	return gift, sealed, err
}

// RulePassword opens the password of a rule's BMCs; empty: it has none.
func (s *Store) RulePassword(ctx context.Context, name string) (string, error) {
	sealed, err := one(ctx, s.db, pgx.RowTo[[]byte], `SELECT secret FROM rule WHERE name = $1`, name)
	if err != nil || len(sealed) == 0 {
		return "", orNotFound(err, "rule", name)
	}
	secret, err := s.config.Key.Open("rule "+name, sealed)
	return string(secret), err
}

// TakeByRule notes that a rule took a machine.
func (s *Store) TakeByRule(ctx context.Context, tx pgx.Tx, rule string, machine sprout.MachineID) error {
	n, err := exec(ctx, tx, `UPDATE rule SET taken = taken + 1, revision = revision + 1 WHERE name = $1`, rule)
	if err := mustTouch(n, err, "rule", rule); err != nil {
		return err
	}
	_, err = exec(ctx, tx, `
		INSERT INTO rule_taken (site, machine, rule) SELECT site, id, $2 FROM machine WHERE id = $1
		ON CONFLICT (site, machine) DO UPDATE SET rule = excluded.rule, at = now()`, machine, rule)
	return err
}

// TakenBy returns the rule that took a machine; empty: none did.
func (s *Store) TakenBy(ctx context.Context, machine sprout.MachineID) (string, error) {
	rule, err := one(ctx, s.db, pgx.RowTo[string], `SELECT rule FROM rule_taken WHERE machine = $1`, machine)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return rule, err
}

// HasName tells whether another machine of the site has the name.
func (s *Store) HasName(ctx context.Context, site sprout.SiteID, name string, but sprout.MachineID) (bool, error) {
	return one(ctx, s.db, pgx.RowTo[bool], `SELECT EXISTS (SELECT FROM machine WHERE site = $1 AND name = $2 AND id <> $3)`, site, name, but)
}
