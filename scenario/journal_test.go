package scenario_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"sprout"
	"sprout/sitestore"
)

// A journal is what a site had to tell when it was read there: facts in their
// order, none of which the centre had.
type journal struct {
	facts    []sprout.Fact
	attempts map[string]bool // boots that the centre knew of already
}

// noteTaken has the database itself note which facts are taken, and when: from one
// number to another, in the order in which the transactions changed it.
const noteTaken = `
	CREATE TABLE taken (n bigserial, site text, before bigint, after bigint, at timestamptz);
	CREATE FUNCTION note_taken() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO public.taken (site, before, after, at) VALUES (new.site, old.last_fact, new.last_fact, clock_timestamp());
			RETURN new;
		END $$;
	CREATE TRIGGER note_taken AFTER UPDATE OF last_fact ON inbox FOR EACH ROW EXECUTE FUNCTION note_taken()`

// tellJournal reads what the agent of a site, which is alone, has to tell: it is
// stopped where it is for that, and goes on alone.
func tellJournal(s *story, ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "journal SITE")
	at := s.site(ts, args[0])
	at.stop()
	store, err := sitestore.Open(filepath.Join(at.config.DataDir, "site.db"), s.log)
	ts.Check(err)
	facts, err := store.Facts(math.MaxInt)
	ts.Check(err)
	ts.Check(store.Close())
	at.config.Token = "" // it has enrolled
	at.process, err = s.startAgent(at)
	ts.Check(err)
	s.journal = journal{facts: facts, attempts: map[string]bool{}}
	db := s.connect(ts)
	for _, id := range column[string](ts, db, `SELECT id FROM boot_attempt`) {
		s.journal.attempts[id] = true
	}
	_, err = db.Exec(context.Background(), noteTaken)
	ts.Check(err)
}

func (s *story) connect(ts *testscript.TestScript) *pgx.Conn {
	db, err := pgx.Connect(context.Background(), s.database)
	ts.Check(err)
	ts.Defer(func() { _ = db.Close(context.Background()) }) // nothing was left to say
	return db
}

func column[T any](ts *testscript.TestScript, db *pgx.Conn, sql string, args ...any) []T {
	rows, err := db.Query(context.Background(), sql, args...)
	ts.Check(err)
	all, err := pgx.CollectRows(rows, pgx.RowTo[T])
	ts.Check(err)
	return all
}

// returnWithin is how long the centre may take to take 10,000 facts of a site that
// is back, from the first on.
const returnWithin = 5 * time.Second

// tellHeard holds what the centre took of a site that is back against what that had
// to tell: each fact once and in order, and of the boots, the leases and the steps
// of work that they tell of neither less nor more.
func tellHeard(s *story, ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "heard SITE")
	facts, db := s.journal.facts, s.connect(ts)
	if len(facts) == 0 {
		ts.Fatalf("the site had nothing to tell")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	first, last := facts[0].Seq, facts[len(facts)-1].Seq
	ts.Check(eventually(ctx, func() (bool, string) {
		var heard int64
		err := db.QueryRow(ctx, `SELECT last_fact FROM inbox`).Scan(&heard)
		return heard >= last, fmt.Sprintf("%d of %d facts, %v", heard, last, err)
	}))
	if int64(len(facts)) != last-first+1 {
		ts.Fatalf("the site's journal has a gap: %d facts from %d to %d", len(facts), first, last)
	}
	took := s.checkTaken(ts, db, first, last)
	if most := returnWithin * time.Duration(1+len(facts)/10_000); took > most {
		ts.Fatalf("%d facts took %s, they may take %s", len(facts), took, most)
	}
	ts.Logf("%d facts in %s", len(facts), took)
	s.checkBoots(ts, db)
	s.checkLeases(ts, db)
	s.checkSteps(ts, db)
}

// checkTaken sees that the numbers were taken one after another, and says how long
// that took.
func (s *story) checkTaken(ts *testscript.TestScript, db *pgx.Conn, first, last int64) time.Duration {
	rows, err := db.Query(context.Background(), `SELECT before, after, at FROM taken ORDER BY n`)
	ts.Check(err)
	var from, to int64
	var at, began, ended time.Time
	next := first - 1
	_, err = pgx.ForEachRow(rows, []any{&from, &to, &at}, func() error {
		if from != next || to <= from {
			return fmt.Errorf("after fact %d facts %d to %d were taken", next, from+1, to)
		}
		next = to
		if began.IsZero() {
			began = at
		}
		if from < last {
			ended = at
		}
		return nil
	})
	ts.Check(err)
	return ended.Sub(began)
}

// checkBoots compares the events of every boot that the centre still keeps.
func (s *story) checkBoots(ts *testscript.TestScript, db *pgx.Conn) {
	told := map[sprout.AttemptID][]sprout.BootEvent{}
	for _, e := range bodies[[]sprout.BootEvent](ts, s.journal.facts, sprout.FactBoot) {
		for _, e := range e.body {
			id := e.Attempt
			e.Attempt, e.Machine = "", ""
			told[id] = append(told[id], e.Clean())
		}
	}
	compared := 0
	for id, want := range told {
		var got []sprout.BootEvent
		for _, raw := range column[json.RawMessage](ts, db, `SELECT event FROM boot_event WHERE attempt = $1 ORDER BY seq`, string(id)) {
			var e sprout.BootEvent
			ts.Check(json.Unmarshal(raw, &e))
			got = append(got, e)
		}
		if len(got) == 0 && len(column[string](ts, db, `SELECT id FROM boot_attempt WHERE id = $1`, string(id))) == 0 {
			continue // so many boots are not kept
		}
		if s.journal.attempts[string(id)] { // it began before the site was alone
			got = got[max(0, len(got)-len(want)):]
		}
		if a, b := text(ts, got), text(ts, want); a != b {
			ts.Fatalf("of boot %s the site tells\n%s\nand the centre has\n%s", id, b, a)
		}
		compared++
	}
	if compared == 0 {
		ts.Fatalf("the site told of no boot that is kept")
	}
}

// checkLeases compares the last word on each address, and sees that nobody who was
// given one is left out.
func (s *story) checkLeases(ts *testscript.TestScript, db *pgx.Conn) {
	last := map[netip.Addr]sprout.Lease{}
	for _, l := range bodies[sprout.Lease](ts, s.journal.facts, sprout.FactLease) {
		last[l.body.IP] = l.body
	}
	for ip, want := range last {
		var mac, state string
		var until time.Time
		err := db.QueryRow(context.Background(), `SELECT mac::text, state, expires_at FROM subnet_lease WHERE ip = $1`, ip).Scan(&mac, &state, &until)
		if err != nil || mac != want.MAC || state != want.State || until.Sub(want.ExpiresAt).Abs() > time.Millisecond {
			ts.Fatalf("the site leased %s to %s (%s) until %s; the centre says %s (%s) until %s, %v", ip, want.MAC, want.State, want.ExpiresAt, mac, state, until, err)
		}
	}
	for mac, ip := range s.strangers {
		if last[ip].MAC != mac {
			ts.Fatalf("%s was given %s while the site was alone, of which the site tells %+v", mac, ip, last[ip])
		}
	}
}

// A stepped is a step of a piece of work, as far as both sides tell it.
type stepped struct {
	Work, Name, Outcome string
	Attempt             int
}

// checkSteps compares the steps of work: the last word on each, in the order in
// which they began.
func (s *story) checkSteps(ts *testscript.TestScript, db *pgx.Conn) {
	var want []stepped
	for _, r := range bodies[sprout.StepRecord](ts, s.journal.facts, sprout.FactStep) {
		now := stepped{r.of.Work, r.body.Name, r.body.Outcome, r.body.Attempt}
		at := slices.IndexFunc(want, func(old stepped) bool {
			return old.Work == now.Work && old.Name == now.Name && old.Attempt == now.Attempt
		})
		if at < 0 {
			want = append(want, now)
		} else {
			want[at] = now
		}
	}
	for _, work := range worksOf(want) {
		rows, err := db.Query(context.Background(), `SELECT work, name, outcome, attempt FROM site_step WHERE work = $1 ORDER BY seq`, work)
		ts.Check(err)
		got, err := pgx.CollectRows(rows, pgx.RowToStructByPos[stepped])
		ts.Check(err)
		var mine []stepped
		for _, w := range want {
			if w.Work == work {
				mine = append(mine, w)
			}
		}
		if len(got) < len(mine) || !slices.Equal(got[len(got)-len(mine):], mine) {
			ts.Fatalf("of %s the site tells the steps %+v, and the centre has %+v", work, mine, got)
		}
	}
}

func worksOf(steps []stepped) (works []string) {
	for _, s := range steps {
		if !slices.Contains(works, s.Work) {
			works = append(works, s.Work)
		}
	}
	slices.SortFunc(works, cmp.Compare[string])
	return works
}

// A said is a fact with its body.
type said[T any] struct {
	of   sprout.Fact
	body T
}

func bodies[T any](ts *testscript.TestScript, facts []sprout.Fact, kind sprout.FactKind) (all []said[T]) {
	for _, f := range facts {
		if f.Kind != kind {
			continue
		}
		one := said[T]{of: f}
		ts.Check(json.Unmarshal(f.Body, &one.body))
		all = append(all, one)
	}
	return all
}

func text(ts *testscript.TestScript, v any) string {
	raw, err := json.MarshalIndent(v, "", " ")
	ts.Check(err)
	return string(raw)
}
