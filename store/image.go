package store

import (
	"cmp"
	"context"

	"github.com/jackc/pgx/v5"

	"sprout"
)

const imageSelect = `
	SELECT id, name, digest, bytes, compression, raw_digest, raw_bytes, architecture, boot_modes, created_at, kind, source,
		ARRAY(SELECT n.name FROM image_name n WHERE n.image = image.id AND NOT n.own ORDER BY n.name) FROM image `

func scanImage(row pgx.CollectableRow) (i sprout.Image, err error) {
	err = row.Scan(&i.ID, &i.Name, &i.Digest, &i.Bytes, &i.Compression, &i.RawDigest, &i.RawBytes, &i.Architecture, &i.BootModes, &i.CreatedAt, &i.Kind, &i.Source, &i.Aliases)
	return i, err
}

// CreateImage records an image. Conflict if another has the name, or an alias is
// called so.
func (s *Store) CreateImage(ctx context.Context, tx pgx.Tx, i sprout.Image) (sprout.Image, error) {
	if i.Name == "" {
		return i, sprout.InvalidField("name", "an image needs a name")
	}
	if i.ID == "" {
		i.ID = sprout.NewID[sprout.ImageID](sprout.PrefixImage)
	}
	if _, err := exec(ctx, tx, `
		INSERT INTO image (id, name, digest, bytes, compression, raw_digest, raw_bytes, architecture, boot_modes, kind, source)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		i.ID, i.Name, i.Digest, i.Bytes, i.Compression, i.RawDigest, i.RawBytes, i.Architecture, orEmpty(i.BootModes), cmp.Or(i.Kind, sprout.DiskImage), i.Source); err != nil {
		return i, err
	}
	made := happened(sprout.WasCreated, "", i.ID)
	made.Name = i.Name
	if err := s.touch(ctx, tx, made); err != nil {
		return i, err
	}
	return s.In(tx).FindImage(ctx, string(i.ID))
}

// DeleteImage forgets an image; its bytes are the image store's business.
func (s *Store) DeleteImage(ctx context.Context, tx pgx.Tx, id sprout.ImageID) error {
	gone := happened(sprout.WasDeleted, "", id)
	var err error
	if gone.Name, err = one(ctx, tx, pgx.RowTo[string], `DELETE FROM image WHERE id = $1 RETURNING name`, id); err != nil {
		return orNotFound(err, "image", string(id))
	}
	return s.touch(ctx, tx, gone)
}

// FindImage returns the image that ref names: its name, an alias, its id, or its
// digest (the latest with it).
func (s *Store) FindImage(ctx context.Context, ref string) (sprout.Image, error) {
	i, err := one(ctx, s.db, scanImage, imageSelect+`
		WHERE id = (SELECT image FROM image_name WHERE name = $1) OR id = $1 OR digest = $1
		ORDER BY coalesce(id = (SELECT image FROM image_name WHERE name = $1), false) DESC, id DESC LIMIT 1`, ref)
	return i, orNotFound(err, "image", ref)
}

var imageListing = listing[sprout.Image]{"image", "name", map[string]order[sprout.Image]{
	"created": {[]key{text("id")}, func(i sprout.Image) []string { return []string{string(i.ID)} }},
	"name":    {[]key{text("name")}, func(i sprout.Image) []string { return []string{i.Name} }},
}}

// Images lists images, by default by name.
func (s *Store) Images(ctx context.Context, p Page) ([]sprout.Image, string, error) {
	return page(imageListing, p, selection{}, func(tail string, args ...any) ([]sprout.Image, error) {
		return many(ctx, s.db, scanImage, imageSelect+tail, args...)
	})
}
