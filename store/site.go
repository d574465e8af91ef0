package store

import (
	"context"
	"fmt"
	"regexp"
	"strings"

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

// DeleteSite removes a site that has no machines and no networks; else a Conflict
// names them. Its workflows go with it: what they did is in the audit.
func (s *Store) DeleteSite(ctx context.Context, tx pgx.Tx, id sprout.SiteID) error {
	gone := happened(sprout.WasDeleted, id, id)
	if err := refuseUsedSite(ctx, tx, id); err != nil {
		return err
	}
	if _, err := exec(ctx, tx, `DELETE FROM workflow WHERE site = $1 AND state NOT IN ('running', 'unwinding')`, id); err != nil {
		return err
	}
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

// namedUsers is how many of the machines and networks of a site are named that stand
// against its end.
const namedUsers = 10

// refuseUsedSite is a Conflict that names what a site still has; it keeps others from
// adding anything until tx ends.
func refuseUsedSite(ctx context.Context, tx pgx.Tx, id sprout.SiteID) error {
	name, err := one(ctx, tx, pgx.RowTo[string], `SELECT name FROM site WHERE id = $1 FOR UPDATE`, id)
	if err != nil {
		return orNotFound(err, "site", string(id))
	}
	type user struct {
		Name, State string
		All         int
	}
	var has, helps []string
	for _, of := range []struct{ noun, sql string }{
		{"machine", `SELECT name, state, count(*) OVER () FROM machine WHERE site = $1 ORDER BY name LIMIT $2`},
		{"network", `SELECT name, '', count(*) OVER () FROM network WHERE site = $1 ORDER BY name LIMIT $2`},
	} {
		users, err := many(ctx, tx, pgx.RowToStructByPos[user], of.sql, id, namedUsers)
		if err != nil {
			return err
		}
		if len(users) == 0 {
			continue
		}
		var said, refs []string
		for _, u := range users {
			words := u.Name
			if u.State != "" {
				words += " (" + u.State + ")"
			}
			said, refs = append(said, words), append(refs, name+"/"+u.Name)
		}
		if len(users) < users[0].All {
			said = append(said, "…")
		}
		has = append(has, fmt.Sprintf("%ss, %d in all: %s", of.noun, users[0].All, strings.Join(said, ", ")))
		helps = append(helps, fmt.Sprintf("sprout %s delete %s", of.noun, strings.Join(refs, " ")))
	}
	if len(has) == 0 {
		return nil
	}
	return sprout.Errorf(sprout.Conflict, "cannot delete site %s: it has %s", name, strings.Join(has, "; ")).WithRemedy("%s; then again", strings.Join(helps, "; "))
}
