package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// mostTests bounds how many tests operators may add.
const mostTests = 1000

const testSelect = `SELECT declared, added_by, created_at FROM test `

func scanTest(row pgx.CollectableRow) (t sprout.Test, err error) {
	var by string
	created := t.CreatedAt
	err = row.Scan(&t, &by, &created)
	t.By, t.CreatedAt = by, created
	return t, err
}

// Tests lists the tests that operators have added, by name.
func (s *Store) Tests(ctx context.Context) ([]sprout.Test, error) {
	return many(ctx, s.db, scanTest, testSelect+`ORDER BY name`)
}

// AddTest keeps a test with its executable. The same again is no error; Conflict
// if another has its name.
func (s *Store) AddTest(ctx context.Context, tx pgx.Tx, t sprout.Test, content []byte) (made sprout.Test, fresh bool, err error) {
	// Two at once see each other.
	if _, err := exec(ctx, tx, `SELECT pg_advisory_xact_lock(hashtextextended('test', 0))`); err != nil {
		return t, false, err
	}
	n, err := one(ctx, tx, pgx.RowTo[int], `SELECT count(*) FROM test`)
	if err != nil {
		return t, false, err
	}
	if n >= mostTests {
		return t, false, sprout.Errorf(sprout.Conflict, "cannot add test %s: there are %d already", t.Name, n).WithRemedy("sprout test delete NAME")
	}
	added, err := exec(ctx, tx, `
		INSERT INTO test (name, digest, declared, content, added_by) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) DO NOTHING`,
		t.Name, t.Digest, t, content, t.By)
	if err != nil {
		return t, false, err
	}
	made, err = one(ctx, tx, scanTest, testSelect+`WHERE name = $1`, t.Name)
	if err == nil && made.Digest != t.Digest {
		e := sprout.Errorf(sprout.Conflict, "cannot add test %s: there is another of this name", t.Name)
		e.Field = "name"
		return t, false, e.WithRemedy("sprout test delete %s, or another name", t.Name)
	}
	return made, added > 0, err
}

// DeleteTest forgets a test; what it found stays. Conflict while a machine is
// being commissioned with it.
func (s *Store) DeleteTest(ctx context.Context, tx pgx.Tx, name string) error {
	busy, err := many(ctx, tx, pgx.RowTo[string], `
		SELECT m.name FROM workflow w JOIN machine m ON m.id = w.machine
		WHERE w.kind = 'commission' AND w.state IN ('running', 'unwinding')
		  AND w.run #> '{input,tests}' @> jsonb_build_array(jsonb_build_object('test', jsonb_build_object('name', $1::text))) LIMIT 1`, name)
	if err != nil {
		return err
	}
	if len(busy) > 0 {
		return sprout.Errorf(sprout.Conflict, "cannot delete test %s: machine %s is being commissioned with it", name, busy[0]).
			WithRemedy("sprout machine show %s, and then again", busy[0])
	}
	n, err := exec(ctx, tx, `DELETE FROM test WHERE name = $1`, name)
	return mustTouch(n, err, "test", name)
}

// TestContent returns the executable of a digest.
func (s *Store) TestContent(ctx context.Context, digest string) ([]byte, error) {
	content, err := one(ctx, s.db, pgx.RowTo[[]byte], `SELECT content FROM test WHERE digest = $1 LIMIT 1`, digest)
	return content, orNotFound(err, "test", digest)
}
