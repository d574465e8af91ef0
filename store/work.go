package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/workflow"
)

// sealWork seals what is secret of a workflow; nothing stays nothing.
func (s *Store) sealWork(workflow string, secret []byte) ([]byte, error) {
	if len(secret) == 0 {
		return nil, nil
	}
	return s.config.Key.Seal(workflow, secret)
}

// ReplicateWork queues work for its site, with what is secret of its workflow.
func (s *Store) ReplicateWork(ctx context.Context, tx pgx.Tx, site sprout.SiteID, w sprout.Work) error {
	secret, err := one(ctx, tx, pgx.RowTo[[]byte], `SELECT secret FROM workflow WHERE id = $1`, w.Workflow)
	if err != nil {
		return orNotFound(err, "workflow", string(w.Workflow))
	}
	body, err := json.Marshal(w)
	if err != nil {
		return fmt.Errorf("cannot replicate work %s: %w", w.ID, err)
	}
	return s.queue(ctx, tx, change{site, sprout.Change{Kind: sprout.ChangeWork, Key: w.ID, Body: body}, secret})
}

// forgetSecret drops what is secret of a workflow that has succeeded: nobody
// will need it again.
func forgetSecret(ctx context.Context, tx pgx.Tx, run workflow.Run) error {
	if run.State != sprout.Succeeded {
		return nil
	}
	n, err := exec(ctx, tx, `UPDATE workflow SET secret = NULL WHERE id = $1 AND secret IS NOT NULL`, run.ID)
	if err != nil || n == 0 {
		return err
	}
	var works []string
	for try := range run.Retries + 1 {
		for others := range sprout.MostOthers + 1 {
			works = append(works, sprout.WorkID(run.ID, try+1, others))
		}
	}
	_, err = exec(ctx, tx, `
		UPDATE outbox o SET secret = NULL FROM workflow w
		WHERE w.id = $1 AND o.site = w.site AND o.kind = 'work' AND o.key = ANY ($2)`, run.ID, works)
	return err
}

// sealForSites seals what is secret of each row to the agent that its site has
// now. One that cannot be opened travels without it: its agent refuses to do
// half of the work, and the others do not wait.
func (s *Store) sealForSites(ctx context.Context, rows []OutboxRow) error {
	keys := map[sprout.SiteID]string{}
	for i, r := range rows {
		if len(r.secret) == 0 || s.config.SealFor == nil {
			continue
		}
		key, known := keys[r.Site]
		if !known {
			var err error
			key, err = one(ctx, s.db, pgx.RowTo[string], `SELECT seal_key FROM agent WHERE site = $1 AND retired_at IS NULL`, r.Site)
			if err != nil && !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
			keys[r.Site] = key
		}
		if key == "" {
			continue // whoever enrols gets it anew
		}
		body, err := s.withSecret(r, key)
		if err != nil {
			return err
		}
		rows[i].Body = body
	}
	return nil
}

func (s *Store) withSecret(r OutboxRow, key string) (json.RawMessage, error) {
	var w sprout.Work
	if err := json.Unmarshal(r.Body, &w); err != nil {
		return nil, fmt.Errorf("cannot read the work %s: %w", r.Key, err)
	}
	secret, err := s.config.Key.Open(string(w.Workflow), r.secret)
	if err != nil {
		return r.Body, nil //nolint:nilerr // the agent says what is missing
	}
	if w.Secret, err = s.config.SealFor(key, secret); err != nil {
		return nil, fmt.Errorf("cannot seal the user data of work %s to its site's agent: %w", r.Key, err)
	}
	return json.Marshal(w)
}
