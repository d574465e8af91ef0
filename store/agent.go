package store

import (
	"context"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

const agentFrom = `
	SELECT a.id, a.site, s.name, a.name, a.version, a.public_key, a.seal_key, a.address,
	       coalesce(a.last_seen > now() - $1::interval, false), a.last_seen, a.applied,
	       s.outbox_seq + (SELECT count(*) FROM outbox_unnumbered o WHERE o.site = s.id), a.enrolled_at,
	       a.downloading, a.waiting
	FROM agent a JOIN site s ON s.id = a.site `

const agentSelect = agentFrom + `WHERE a.retired_at IS NULL `

func scanAgent(row pgx.CollectableRow) (a sprout.Agent, err error) {
	err = row.Scan(&a.ID, &a.Site, &a.SiteName, &a.Name, &a.Version, &a.PublicKey, &a.SealKey, &a.Address,
		&a.Online, &a.LastSeen, &a.Applied, &a.Wanted, &a.EnrolledAt, &a.Downloading, &a.Waiting)
	return a, err
}

// EnrolAgent makes a the one live agent of its site. The one before it is
// retired, none of its facts is taken any more, and their numbering begins anew:
// a fresh agent counts from 1. Follow it with Snapshot, which fills the agent's
// store.
func (s *Store) EnrolAgent(ctx context.Context, tx pgx.Tx, a sprout.Agent) (sprout.Agent, error) {
	if a.ID == "" {
		a.ID = sprout.NewID[sprout.AgentID](sprout.PrefixAgent)
	}
	n, err := exec(ctx, tx, `UPDATE inbox SET last_fact = 0, agent = $2 WHERE site = $1`, a.Site, a.ID)
	if err := mustTouch(n, err, "site", string(a.Site)); err != nil {
		return a, err
	}
	if _, err := exec(ctx, tx, `UPDATE agent SET retired_at = now() WHERE site = $1 AND retired_at IS NULL`, a.Site); err != nil {
		return a, err
	}
	if _, err := exec(ctx, tx, `
		INSERT INTO agent (site, id, name, version, public_key, seal_key, address) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		a.Site, a.ID, a.Name, a.Version, a.PublicKey, a.SealKey, canonicalIP(a.Address)); err != nil {
		return a, err
	}
	made := happened(sprout.WasCreated, a.Site, a.ID)
	made.Name = a.Name
	if err := s.touch(ctx, tx, made); err != nil {
		return a, err
	}
	return s.In(tx).Agent(ctx, a.ID)
}

// RetireAgent ends an agent for ever: nothing that it says is taken any more.
// NotFound if it is not live.
func (s *Store) RetireAgent(ctx context.Context, tx pgx.Tx, id sprout.AgentID) error {
	if _, err := exec(ctx, tx, `UPDATE inbox SET agent = '' WHERE agent = $1`, id); err != nil {
		return err
	}
	site, err := one(ctx, tx, pgx.RowTo[sprout.SiteID], `UPDATE agent SET retired_at = now() WHERE id = $1 AND retired_at IS NULL RETURNING site`, id)
	if err != nil {
		return orNotFound(err, "agent", string(id))
	}
	return s.touch(ctx, tx, happened(sprout.WasDeleted, site, id))
}

// AgentBack says that a live agent that was silent is heard of again.
func (s *Store) AgentBack(ctx context.Context, tx pgx.Tx, a sprout.Agent) error {
	if err := s.touch(ctx, tx, changed(a.Site, a.ID)); err != nil {
		return err
	}
	_, err := s.ClearProblems(ctx, tx, string(a.ID), sprout.AgentOffline)
	return err
}

// Heartbeats notes, in one statement, that agents live and how far each is: one
// beat an agent, of the site that it came from. It returns the live agents among
// them as they were before; one that is missing has been retired, or is not of
// that site.
func (s *Store) Heartbeats(ctx context.Context, beats []sprout.Beat) ([]sprout.Agent, error) {
	var sites, ids, versions, addresses []string
	var applied, downloading, waiting []int64
	for _, b := range beats {
		sites, ids, versions = append(sites, string(b.Site)), append(ids, string(b.Agent)), append(versions, b.Version)
		addresses, applied = append(addresses, canonicalIP(b.Address)), append(applied, b.Applied)
		downloading, waiting = append(downloading, int64(max(0, b.Downloading))), append(waiting, int64(max(0, b.Waiting)))
	}
	return many(ctx, s.db, scanAgent, `
		WITH beat AS (SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[])
			b (site, id, version, address, applied, downloading, waiting)),
		held AS (SELECT g.id FROM agent g JOIN beat USING (site, id) WHERE g.retired_at IS NULL ORDER BY g.id FOR NO KEY UPDATE OF g),
		touched AS (
			UPDATE agent g SET last_seen = now(), version = b.version, address = b.address, applied = greatest(g.applied, b.applied),
				downloading = b.downloading, waiting = b.waiting
			FROM beat b JOIN held USING (id) WHERE g.id = b.id)
		`+agentSelect+`AND (a.site, a.id) IN (SELECT site, id FROM beat)`,
		sprout.OfflineAfter, sites, ids, versions, addresses, applied, downloading, waiting)
}

// RaiseSilent opens the problem AgentOffline for each live agent that was not
// heard of for sprout.OfflineAfter, since it enrolled at the latest, and closes
// those of agents that were. It looks at agents alone, one a site, and writes
// only what changes; any number of replicas may call it.
func (s *Store) RaiseSilent(ctx context.Context) error {
	return s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := s.problemsNow(ctx, tx, `
			UPDATE problem SET cleared_at = now()
			WHERE code = $1 AND cleared_at IS NULL AND subject IN (SELECT id FROM agent WHERE last_seen > now() - $2::interval)
			RETURNING `+problemColumns, sprout.AgentOffline, sprout.OfflineAfter); err != nil {
			return err
		}
		// The rows are held: a heartbeat comes before this, or closes what is opened here.
		silent, err := many(ctx, tx, scanAgent, agentSelect+`
			AND coalesce(a.last_seen, a.enrolled_at) <= now() - $1::interval
			AND NOT EXISTS (SELECT FROM problem p WHERE p.subject = a.id AND p.code = $2 AND p.cleared_at IS NULL)
			ORDER BY a.id FOR UPDATE OF a`, sprout.OfflineAfter, sprout.AgentOffline)
		for _, a := range silent {
			if err := s.RaiseProblem(ctx, tx, offline(a)); err != nil {
				return err
			}
		}
		return err
	})
}

func offline(a sprout.Agent) sprout.Problem {
	severity, remedy := sprout.Explain(sprout.AgentOffline, "", "", a.SiteName)
	reason := "not heard of since it enrolled at " + a.EnrolledAt.UTC().Format(time.RFC3339)
	if a.LastSeen != nil {
		reason = "no heartbeat since " + a.LastSeen.UTC().Format(time.RFC3339)
	}
	return sprout.Problem{
		Code: sprout.AgentOffline, Severity: severity, Site: a.Site, Subject: string(a.ID), Name: a.SiteName, Reason: reason, Remedy: remedy,
	}
}

// canonicalIP writes an address as PostgreSQL does, and "" for what is none:
// allocation compares with it.
func canonicalIP(text string) string {
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return ""
	}
	return ip.WithZone("").String()
}

// Agent returns a live agent.
func (s *Store) Agent(ctx context.Context, id sprout.AgentID) (sprout.Agent, error) {
	a, err := one(ctx, s.db, scanAgent, agentSelect+`AND a.id = $2`, sprout.OfflineAfter, id)
	return a, orNotFound(err, "agent", string(id))
}

// AgentOf returns the live agent of a site; NotFound if it has none.
func (s *Store) AgentOf(ctx context.Context, site sprout.SiteID) (sprout.Agent, error) {
	a, err := one(ctx, s.db, scanAgent, agentSelect+`AND a.site = $2`, sprout.OfflineAfter, site)
	return a, orNotFound(err, "an agent of site", string(site))
}

// BeginsAfter returns the number of the last change that was made before the
// snapshot of a live agent: its store counts from there.
func (s *Store) BeginsAfter(ctx context.Context, id sprout.AgentID) (int64, error) {
	after, err := one(ctx, s.db, pgx.RowTo[int64], `SELECT begins_after FROM agent WHERE id = $1 AND retired_at IS NULL`, id)
	return after, orNotFound(err, "agent", string(id))
}

// AgentByKey returns the live agent with the NKey user key.
func (s *Store) AgentByKey(ctx context.Context, publicKey string) (sprout.Agent, error) {
	a, err := one(ctx, s.db, scanAgent, agentSelect+`AND a.public_key = $2`, sprout.OfflineAfter, publicKey)
	return a, orNotFound(err, "agent with key", publicKey)
}

// An AgentFilter restricts a list of agents; zero fields do not.
type AgentFilter struct {
	Sites sprout.Sites
	Page
}

var agentListing = listing[sprout.Agent]{"agent", "site", map[string]order[sprout.Agent]{
	"site": {[]key{text("s.name")}, func(a sprout.Agent) []string { return []string{a.SiteName} }}, // one a site lives
}}

// Agents lists the live agents by the names of their sites.
func (s *Store) Agents(ctx context.Context, f AgentFilter) ([]sprout.Agent, string, error) {
	q := selection{args: []any{sprout.OfflineAfter}, conditions: []string{"a.retired_at IS NULL"}}
	among(&q, "a.site", f.Sites)
	return page(agentListing, f.Page, q, func(tail string, args ...any) ([]sprout.Agent, error) {
		return many(ctx, s.db, scanAgent, agentFrom+tail, args...)
	})
}
