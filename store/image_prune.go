package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// An ImageUse is an image with what needs it: of each how many, and the name of one.
type ImageUse struct {
	sprout.Image
	Machines, Deploys, Failed int    // deployed with it; being deployed; whose deploy failed or was cancelled, and may be tried again
	Machine, Deploy, Retry    string // names of machines
}

// Of deploys those count that are under way, and the failed and cancelled ones that
// nothing came after: workflow retry goes on with the same image. A run of before digests were kept has
// none, and may be of any image.
const imageUseSelect = `
	WITH deploy AS MATERIALIZED (
		SELECT w.run #>> '{input,image,digest}' AS digest, w.state IN ('running', 'unwinding') AS live, coalesce(m.name, w.id) AS name
		FROM workflow w LEFT JOIN machine m ON m.id = w.machine
		WHERE w.kind = 'deploy' AND (w.state IN ('running', 'unwinding') OR w.state IN ('failed', 'cancelled') AND m.id IS NOT NULL
			AND NOT EXISTS (SELECT FROM workflow l WHERE l.machine = w.machine AND l.id > w.id)))
	SELECT i.*, m.n, m.name, d.live, d.name, d.failed, d.failure FROM (` + imageSelect + `) i
	CROSS JOIN LATERAL (
		SELECT count(*) AS n, coalesce(min(m.name), '') AS name FROM machine m WHERE m.image_digest = i.digest OR m.image_digest = '' AND m.image = i.name
	) m
	CROSS JOIN LATERAL (
		SELECT count(*) FILTER (WHERE d.live) AS live, coalesce(min(d.name) FILTER (WHERE d.live), '') AS name,
			count(*) FILTER (WHERE NOT d.live) AS failed, coalesce(min(d.name) FILTER (WHERE NOT d.live), '') AS failure
		FROM deploy d WHERE coalesce(d.digest, i.digest) = i.digest
	) d `

func scanImageUse(row pgx.CollectableRow) (u ImageUse, err error) {
	i := &u.Image
	err = row.Scan(&i.ID, &i.Name, &i.Digest, &i.Bytes, &i.Compression, &i.RawDigest, &i.RawBytes, &i.Architecture, &i.BootModes, &i.CreatedAt, &i.Kind, &i.Source, &i.Aliases,
		&u.Machines, &u.Machine, &u.Deploys, &u.Deploy, &u.Failed, &u.Retry)
	return u, err
}

// ImageUses lists all images by name, with what needs them.
func (s *Store) ImageUses(ctx context.Context) ([]ImageUse, error) {
	return many(ctx, s.db, scanImageUse, imageUseSelect+`ORDER BY i.name`)
}

// LockImageUse takes an image until the transaction ends, so that nothing comes to
// need it meanwhile, and returns what does. NotFound if it is gone.
func (s *Store) LockImageUse(ctx context.Context, tx pgx.Tx, id sprout.ImageID) (u ImageUse, err error) {
	if err := s.Lock(ctx, tx, "image", string(id)); err != nil {
		return u, err
	}
	u, err = one(ctx, tx, scanImageUse, imageUseSelect+`WHERE i.id = $1`, id)
	return u, orNotFound(err, "image", string(id))
}

// WithoutImage tells whether no image has the digest, and none will until the
// transaction ends: the table is taken.
func (s *Store) WithoutImage(ctx context.Context, tx pgx.Tx, digest string) (bool, error) {
	if _, err := exec(ctx, tx, `LOCK TABLE image IN SHARE ROW EXCLUSIVE MODE`); err != nil {
		return false, err
	}
	return one(ctx, tx, pgx.RowTo[bool], `SELECT NOT EXISTS (SELECT FROM image WHERE digest = $1)`, digest)
}

// Younger tells whether the image was recorded within so long.
func (u ImageUse) Younger(than time.Duration) bool { return time.Since(u.CreatedAt) < than }
