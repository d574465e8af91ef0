package store

import (
	"context"
	"regexp"

	"github.com/jackc/pgx/v5"

	"sprout"
)

const siteColumns = `id, name, domain, created_at`

func scanSite(row pgx.CollectableRow) (s sprout.Site, err error) {
	err = row.Scan(&s.ID, &s.Name, &s.Domain, &s.CreatedAt)
	return s, err
}

var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// checkLabel holds names to DNS labels (RFC 1035 section 2.3.1), lower case.
func checkLabel(name string) error {
	if !label.MatchString(name) {
		return sprout.InvalidField("name", "%q must be a DNS label: a-z, 0-9 and hyphens inside, at most 63 characters", name)
	}
	return nil
}

// CreateSite makes a site. An empty id is chosen; Conflict if the name exists.
func (s *Store) CreateSite(ctx context.Context, tx pgx.Tx, site sprout.Site) (sprout.Site, error) {
	if err := checkLabel(site.Name); err != nil {
		return site, err
	}
	if site.ID == "" {
		site.ID = sprout.NewID[sprout.SiteID](sprout.PrefixSite)
	}
	made, err := one(ctx, tx, scanSite, `
		INSERT INTO site (id, name, domain) VALUES ($1, $2, $3)
		RETURNING `+siteColumns, site.ID, site.Name, site.Domain)
	if err != nil {
		return made, err
	}
	if _, err := exec(ctx, tx, `INSERT INTO inbox (site) VALUES ($1)`, made.ID); err != nil {
		return made, err
	}
	if err := s.touch(ctx, tx, happened(sprout.WasCreated, made.ID, made.ID)); err != nil {
		return made, err
	}
	return made, s.Replicate(ctx, tx, made.ID, sprout.ChangeSite, string(made.ID), made)
}

// UpdateSite sets the domain of a site.
func (s *Store) UpdateSite(ctx context.Context, tx pgx.Tx, id sprout.SiteID, domain string) (sprout.Site, error) {
	site, err := one(ctx, tx, scanSite, `UPDATE site SET domain = $2 WHERE id = $1 RETURNING `+siteColumns, id, domain)
	if err != nil {
		return site, orNotFound(err, "site", string(id))
	}
	if err := s.touch(ctx, tx, changed(id, id)); err != nil {
		return site, err
	}
	return site, s.Replicate(ctx, tx, id, sprout.ChangeSite, string(id), site)
}

// DeleteSite removes a site that has no machines, networks and workflows; else
// Conflict.
func (s *Store) DeleteSite(ctx context.Context, tx pgx.Tx, id sprout.SiteID) error {
	gone := happened(sprout.WasDeleted, id, id)
	// A token of several sites is good for the others still; one of this site only
	// goes with it.
	_, err := exec(ctx, tx, `
		UPDATE token SET sites = array_remove(sites, $1), site = (array_remove(sites, $1))[1]
		WHERE $1 = ANY (sites) AND cardinality(sites) > 1`, id)
	if err != nil {
		return err
	}
	if gone.Name, err = one(ctx, tx, pgx.RowTo[string], `DELETE FROM site WHERE id = $1 RETURNING name`, id); err != nil {
		return orNotFound(err, "site", string(id))
	}
	return s.touch(ctx, tx, gone)
}

// FindSite returns the site that ref names: its name or id.
func (s *Store) FindSite(ctx context.Context, ref string) (sprout.Site, error) {
	site, err := one(ctx, s.db, scanSite, `SELECT `+siteColumns+` FROM site WHERE name = $1 OR id = $1`, ref)
	return site, orNotFound(err, "site", ref)
}

// A SiteFilter restricts a list of sites; zero fields do not.
type SiteFilter struct {
	Sites sprout.Sites
	Page
}

var siteListing = listing[sprout.Site]{"site", "name", map[string]order[sprout.Site]{
	"created": {[]key{text("id")}, func(s sprout.Site) []string { return []string{string(s.ID)} }},
	"name":    {[]key{text("name")}, func(s sprout.Site) []string { return []string{s.Name} }},
}}

// Sites lists sites, by default by name.
func (s *Store) Sites(ctx context.Context, f SiteFilter) ([]sprout.Site, string, error) {
	var q selection
	among(&q, "id", f.Sites)
	return page(siteListing, f.Page, q, func(tail string, args ...any) ([]sprout.Site, error) {
		return many(ctx, s.db, scanSite, `SELECT `+siteColumns+` FROM site `+tail, args...)
	})
}
