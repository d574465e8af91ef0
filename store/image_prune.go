package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// An ImageUse is an image with what needs it.
type ImageUse struct {
	sprout.Image
	Machines int    // that run it, or are brought back to it
	Machine  string // name of one
	Deploys  int    // under way with it
	Deploy   string // name of the machine of one
}

// A run of before digests were kept has none, and may be of any image.
const imageUseSelect = `
	SELECT i.*, coalesce(m.n, 0), coalesce(m.name, ''), coalesce(w.n, 0), coalesce(w.name, '') FROM (` + imageSelect + `) i
	LEFT JOIN LATERAL (
		SELECT count(*) AS n, min(m.name) AS name FROM machine m WHERE m.image_digest = i.digest OR m.image_digest = '' AND m.image = i.name
	) m ON true
	LEFT JOIN LATERAL (
		SELECT count(*) AS n, min(coalesce(m.name, w.id)) AS name FROM workflow w LEFT JOIN machine m ON m.id = w.machine
		WHERE w.kind = 'deploy' AND w.ended_at IS NULL AND coalesce(w.run #>> '{input,image,digest}', i.digest) = i.digest
	) w ON true `

func scanImageUse(row pgx.CollectableRow) (u ImageUse, err error) {
	i := &u.Image
	err = row.Scan(&i.ID, &i.Name, &i.Digest, &i.Bytes, &i.Compression, &i.RawDigest, &i.RawBytes, &i.Architecture, &i.BootModes, &i.CreatedAt, &i.Kind, &i.Source, &i.Aliases,
		&u.Machines, &u.Machine, &u.Deploys, &u.Deploy)
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
