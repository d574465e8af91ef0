package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// mostAliases bounds how many aliases there are.
const mostAliases = 10_000

const aliasSelect = `SELECT n.name, i.id, i.name, i.digest, n.set_by, n.set_at FROM image_name n JOIN image i ON i.id = n.image AND NOT n.own `

var aliasListing = listing[sprout.ImageAlias]{"image alias", "name", map[string]order[sprout.ImageAlias]{
	"name": {[]key{text("n.name")}, func(a sprout.ImageAlias) []string { return []string{a.Name} }},
}}

// ImageAliases lists the aliases of images by name.
func (s *Store) ImageAliases(ctx context.Context, p Page) ([]sprout.ImageAlias, string, error) {
	return page(aliasListing, p, selection{}, func(tail string, args ...any) ([]sprout.ImageAlias, error) {
		return many(ctx, s.db, pgx.RowToStructByPos[sprout.ImageAlias], aliasSelect+tail, args...)
	})
}

// ImageAlias returns one; NotFound if there is none of this name.
func (s *Store) ImageAlias(ctx context.Context, name string) (sprout.ImageAlias, error) {
	a, err := one(ctx, s.db, pgx.RowToStructByPos[sprout.ImageAlias], aliasSelect+`WHERE n.name = $1`, name)
	return a, orNotFound(err, "image alias", name)
}

// SetImageAlias has an alias name an image, whatever it named before. Conflict if
// an image has the name for its own, or the image is gone.
func (s *Store) SetImageAlias(ctx context.Context, tx pgx.Tx, name string, image sprout.ImageID, by string) error {
	if err := sprout.CheckImageAlias(name); err != nil {
		return err
	}
	n, err := one(ctx, tx, pgx.RowTo[int], `SELECT count(*) FROM image_name WHERE NOT own AND name <> $1`, name)
	if err != nil {
		return err
	}
	if n >= mostAliases {
		return sprout.Errorf(sprout.Conflict, "cannot set alias %s: there are %d already", name, n).WithRemedy("sprout image alias delete ALIAS")
	}
	set, err := exec(ctx, tx, `
		INSERT INTO image_name (name, image, set_by) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET image = excluded.image, set_by = excluded.set_by, set_at = now() WHERE NOT image_name.own`, name, image, by)
	if err != nil {
		return err
	}
	if set == 0 {
		e := sprout.Errorf(sprout.Conflict, "cannot set alias %s: it is the name of an image, which stays", name)
		e.Field = "alias"
		return e.WithRemedy("sprout image show %s; another alias, or that image imported under another name", name)
	}
	return s.touch(ctx, tx, happened(sprout.WasChanged, "", image))
}

// DeleteImageAlias takes an alias away; the image stays.
func (s *Store) DeleteImageAlias(ctx context.Context, tx pgx.Tx, name string) error {
	image, err := one(ctx, tx, pgx.RowTo[sprout.ImageID], `DELETE FROM image_name WHERE name = $1 AND NOT own RETURNING image`, name)
	if err != nil {
		return orNotFound(err, "image alias", name)
	}
	return s.touch(ctx, tx, happened(sprout.WasChanged, "", image))
}

// HoldImageOf does as HoldImage for what a deploy installs, whatever image has its
// bytes now. A run of before digests were kept, and one of another kind, needs none.
func (s *Store) HoldImageOf(ctx context.Context, tx pgx.Tx, id sprout.WorkflowID) error {
	gone, err := many(ctx, tx, pgx.RowTo[string], `
		WITH held AS MATERIALIZED (SELECT i.digest FROM image i WHERE i.digest = (SELECT run #>> '{input,image,digest}' FROM workflow WHERE id = $1) FOR KEY SHARE)
		SELECT coalesce(run #>> '{input,image,name}', '') FROM workflow
		WHERE id = $1 AND kind = 'deploy' AND run #>> '{input,image,digest}' <> '' AND NOT EXISTS (SELECT FROM held)`, id)
	if err == nil && len(gone) > 0 {
		return deletedMeanwhile(gone[0])
	}
	return err
}

func deletedMeanwhile(image string) error {
	return sprout.Errorf(sprout.Conflict, "cannot use image %s: it was deleted meanwhile", image).WithRemedy("sprout image list")
}

// HoldImage keeps an image from being deleted until the transaction ends. Any
// number may hold it at once. Conflict if it is gone.
func (s *Store) HoldImage(ctx context.Context, tx pgx.Tx, i sprout.Image) error {
	held, err := many(ctx, tx, pgx.RowTo[string], `SELECT id FROM image WHERE id = $1 FOR KEY SHARE`, i.ID)
	if err == nil && len(held) == 0 {
		return deletedMeanwhile(i.Name)
	}
	return err
}
