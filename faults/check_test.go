package faults_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/client"
	"sprout/provision"
	"sprout/sim"
	"sprout/sitestore"
)

// check holds the installation to what it promises, after a round.
func (g *ground) check(cells []*cell) {
	t := g.t
	t.Helper()
	g.eventually("the agent is online again", g.caughtUp)
	for _, c := range cells {
		if c.err != nil {
			continue
		}
		for _, check := range []func(context.Context, *cell) error{g.checkState, checkDisk, g.checkSteps} {
			if err := check(t.Context(), c); err != nil {
				t.Errorf("%s, and then: %v", c.line(), err)
			}
		}
	}
	g.checkRest()
	g.checkAddresses(cells)
	g.eventually("the audit has no gap", func(ctx context.Context) (string, bool) {
		audit, err := client.Call(ctx, g.client, api.AuditVerify, api.VerifyAudit{})
		return fmt.Sprintf("%+v, %v", audit, err), err == nil && audit.Intact
	})
}

// checkState holds the machine to the state that its workflow leads to.
func (g *ground) checkState(ctx context.Context, c *cell) error {
	want := map[string]sprout.State{
		discover: sprout.Discovered, provision.Commission: sprout.Ready, provision.Deploy: sprout.Deployed, provision.Release: sprout.Ready,
		provision.Rescue: sprout.Rescued, provision.Unrescue: sprout.Deployed,
	}[c.Kind]
	m, err := ask(ctx, g, api.MachineShow, api.MachineRef{Machine: string(c.id)})
	switch {
	case err != nil:
		return err
	case m.State != want:
		return fmt.Errorf("the machine is %s, not %s", m.State, want)
	case m.Activity != nil:
		return fmt.Errorf("the machine is busy with %+v", m.Activity)
	case len(m.Problems) > 0:
		return fmt.Errorf("the machine has problems: %+v", m.Problems)
	}
	return nil
}

// checkDisk looks at the machine's disk itself.
func checkDisk(_ context.Context, c *cell) error {
	system, installed := c.slot.Machine.Installed()
	switch c.Kind {
	case provision.Deploy, provision.Rescue, provision.Unrescue:
		if !installed || system.RawDigest != c.image || !system.Homed {
			return fmt.Errorf("it is called deployed, and its disk holds %+v", system)
		}
	case provision.Release:
		if dirty := c.slot.Machine.Dirty(); len(dirty) > 0 {
			return fmt.Errorf("it is called erased, and its disks hold data: %+v", dirty)
		}
	}
	return nil
}

// checkSteps reads the record of the last try: every step was done once, in order,
// so no fact was lost, and none came twice.
func (g *ground) checkSteps(ctx context.Context, c *cell) error {
	if c.workflow == "" {
		return nil
	}
	w, err := ask(ctx, g, api.WorkflowShow, api.ShowWorkflow{WorkflowRef: api.WorkflowRef{Workflow: string(c.workflow)}})
	if err != nil {
		return err
	}
	for _, at := range []string{"centre", "site"} {
		var want, got []string
		for _, p := range places() {
			if p.Kind == c.Kind && p.At == at {
				want = append(want, p.Step)
			}
		}
		for _, r := range w.Steps {
			if r.At == at && r.Outcome == "done" {
				got = append(got, r.Name)
			}
		}
		if len(got) < len(want) || !slices.Equal(got[len(got)-len(want):], want) {
			return fmt.Errorf("the %s's steps that are done are %v, not %v at the end", at, got, want)
		}
		if c.outcome == "finished" && len(got) != len(want) {
			return fmt.Errorf("the %s's steps that are done are %v, not %v", at, got, want)
		}
	}
	return nil
}

// checkRest sees that nothing is left that runs, or is wrong.
func (g *ground) checkRest() {
	g.t.Helper()
	for _, state := range []sprout.WorkflowState{sprout.Running, sprout.Unwinding} {
		left, err := client.List(g.t.Context(), g.client, api.WorkflowList, api.ListWorkflows{State: []sprout.WorkflowState{state}}, 0)
		if err != nil || len(left) > 0 {
			g.t.Errorf("%d workflows are %s still: %+v, %v", len(left), state, left, err)
		}
	}
	g.eventually("no problem is open", func(ctx context.Context) (string, bool) {
		open, err := client.List(ctx, g.client, api.ProblemList, api.ListProblems{}, 0)
		return fmt.Sprintf("%+v, %v", open, err), err == nil && len(open) == 0
	})
}

// checkAddresses sees that no two machines have one address, as the record has it
// and as the machines themselves were given them; and that each lease that a
// machine was given last is on record.
func (g *ground) checkAddresses(cells []*cell) {
	t := g.t
	t.Helper()
	taken, err := client.List(t.Context(), g.client, api.AddressList, api.ListAddresses{}, 0)
	must(t, err)
	held := map[netip.Addr]string{}
	for _, a := range taken {
		if other, ok := held[a.IP]; ok && other != a.MAC {
			t.Errorf("%s and %s both have the address %s", other, a.MAC, a.IP)
		}
		held[a.IP] = a.MAC
	}
	g.checkGiven()
	g.eventually("every lease is on record", func(ctx context.Context) (string, bool) {
		holder, err := g.leases(ctx)
		if err != nil {
			return err.Error(), false
		}
		for _, c := range cells {
			if c.subject == nil {
				continue
			}
			if ip, ok := lastLease(c.subject); ok && holder[ip] != c.mac {
				return fmt.Sprintf("%s (%s) was given %s, of which the record says %q", c.name, c.mac, ip, holder[ip]), false
			}
		}
		return "", true
	})
}

// checkGiven reads in the machines' own journals which address each had, and when:
// no two that are on have the same, and what a stranger was leased is leased to
// nobody else while that may be in force.
func (g *ground) checkGiven() {
	g.t.Helper()
	type event struct {
		sim.Entry
		of *subject
	}
	var all []event
	for _, s := range g.all {
		for _, e := range s.slot.Machine.Journal() {
			all = append(all, event{e, s})
		}
	}
	slices.SortStableFunc(all, func(a, b event) int { return a.At.Compare(b.At) })
	now, holder, leased := map[*subject]netip.Addr{}, map[netip.Addr]*subject{}, map[netip.Addr]event{}
	for _, e := range all {
		ip, had := addressOf(e.Entry)
		if had || e.Step == sim.StepOff {
			delete(holder, now[e.of])
			delete(now, e.of)
		}
		if !had {
			continue
		}
		if other := holder[ip]; other != nil {
			g.t.Errorf("%s is %s's when %s has it at %s: %s", ip, other.name, e.of.name, e.At.Format(time.TimeOnly), e.Entry)
		}
		if was, ok := leased[ip]; ok && was.of != e.of && e.At.Sub(was.At) < leaseTime {
			g.t.Errorf("%s was leased to %s at %s, and to %s already at %s", ip, was.of.name, was.At.Format(time.TimeOnly), e.of.name, e.At.Format(time.TimeOnly))
		}
		now[e.of], holder[ip] = ip, e.of
		if ip.As4()[2] >= firstDynamic>>8 {
			leased[ip] = e
		}
	}
}

// checkLeases compares the lease journal of the site with the centre's record: each
// lease that was given is in both, with the same holder, and no holder has another
// one's address.
func (g *ground) checkLeases(s *sitestore.Store) {
	t := g.t
	t.Helper()
	g.eventually("the site and the centre say the same of every lease", func(ctx context.Context) (string, bool) {
		record, err := g.leases(ctx)
		if err != nil {
			return err.Error(), false
		}
		journal := s.Leases()
		for _, l := range journal {
			if l.State != "offered" && record[l.IP] != l.MAC { // nobody is told of an offer
				return fmt.Sprintf("%s is %s's to the site (%s), and to the centre %q's", l.IP, l.MAC, l.State, record[l.IP]), false
			}
		}
		for ip, mac := range record {
			if l, ok := s.LeaseByIP(ip); !ok || l.MAC != mac {
				return fmt.Sprintf("%s is %s's to the centre, and to the site %+v", ip, mac, l), false
			}
		}
		return fmt.Sprintf("%d leases", len(journal)), true
	})
}

// leases are what the centre has on record, in force or not.
func (g *ground) leases(ctx context.Context) (map[netip.Addr]string, error) {
	db, err := pgx.Connect(ctx, g.db.URL())
	if err != nil {
		return nil, err
	}
	defer db.Close(ctx) //nolint:errcheck // only read
	rows, err := db.Query(ctx, `SELECT ip, mac::text FROM subnet_lease`)
	if err != nil {
		return nil, err
	}
	holder := map[netip.Addr]string{}
	var ip netip.Addr
	var mac string
	_, err = pgx.ForEachRow(rows, []any{&ip, &mac}, func() error {
		holder[ip] = mac
		return nil
	})
	return holder, err
}

// leaseTime is how long a lease is in force; after that its address may be
// another's.
const leaseTime = 10 * time.Minute

// lastLease is the address that DHCP gave the machine last, if it must still be in
// force.
func lastLease(s *subject) (ip netip.Addr, ok bool) {
	for _, e := range s.slot.Machine.Journal() {
		if e.Step == sim.StepLoader && time.Since(e.At) < leaseTime-time.Minute {
			if at, is := addressOf(e); is {
				ip, ok = at, true
			}
		}
	}
	return ip, ok
}

// closeBooks ends the agent, and compares what it has told with what was heard.
func (g *ground) closeBooks() {
	t := g.t
	t.Helper()
	db := must1(pgx.Connect(t.Context(), g.db.URL()))(t)
	defer db.Close(context.Background()) //nolint:errcheck // only read
	g.agent.kill()
	s := must1(sitestore.Open(filepath.Join(g.agent.Agent.DataDir, "site.db"), slog.New(slog.DiscardHandler)))(t)
	waiting, told, err := s.Outbox()
	must(t, err)
	for _, m := range g.all {
		if ip, ok := lastLease(m); ok {
			if l, had := s.LeaseByIP(ip); !had || l.MAC != m.mac {
				t.Errorf("%s (%s) was given %s, of which the site says %+v", m.name, m.mac, ip, l)
			}
		}
	}
	g.checkLeases(s)
	must(t, s.Close())
	g.eventually("the centre has heard every fact once", func(ctx context.Context) (string, bool) {
		var heard int64
		err := db.QueryRow(ctx, `SELECT last_fact FROM inbox`).Scan(&heard)
		return fmt.Sprintf("the site made %d facts, of which %d wait; the centre took %d (%v)", told, waiting, heard, err), err == nil && heard == told
	})
	for kind, event := range map[string]sprout.Event{provision.Commission: sprout.Commissioned, provision.Deploy: sprout.Installed, provision.Release: sprout.Released, provision.Rescue: sprout.Rescue, provision.Unrescue: sprout.Unrescue} {
		var moved int
		must(t, db.QueryRow(t.Context(), `SELECT count(*) FROM machine_history WHERE event = $1`, event).Scan(&moved))
		g.mu.Lock()
		if want := len(g.succeeded[kind]); moved != want {
			t.Errorf("%d machines were moved by %s, and %d workflows succeeded", moved, event, want)
		}
		g.mu.Unlock()
	}
}
