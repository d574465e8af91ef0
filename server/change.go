package server

import (
	"context"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
)

// change runs do in one transaction together with the audit record of what it
// did: who asked, in which request. do fills in the subject.
func (s *Server) change(ctx context.Context, action string, do func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) error) error {
	return s.store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		record := s.record(ctx, action)
		if err := do(withTx(ctx, tx), tx, &record); err != nil {
			return err
		}
		return s.store.Audit(ctx, tx, record)
	})
}

// record begins an audit record of the request.
func (s *Server) record(ctx context.Context, action string) sprout.AuditRecord {
	return sprout.AuditRecord{
		Kind: sprout.AuditRequest, Actor: actor(ctx), Token: bearer(ctx).ID, Source: source(ctx),
		Action: action, Outcome: "done", Request: api.RequestID(ctx),
	}
}

// about fills in what a record is about.
func about[ID ~string](r *sprout.AuditRecord, site sprout.SiteID, id ID, name string) {
	r.Site, r.Subject, r.Name = site, string(id), name
}

// sitesOf returns the site that ref names; for "" those that who asks may see.
func (s *Server) sitesOf(ctx context.Context, ref string) (sprout.Sites, error) {
	if ref == "" {
		return scope(ctx), nil
	}
	site, err := s.findSite(ctx, ref)
	return sprout.At(site.ID), err
}
