package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"

	"sprout"
	"sprout/api"
	"sprout/audit"
	"sprout/provider"
	"sprout/store"
)

func (s *Server) auditList(ctx context.Context, in *api.ListAudit) (api.Page[sprout.AuditRecord], error) {
	s.sealNow(ctx)
	f := auditFilter(ctx, in.AuditFilter)
	f.Page = sorted(in.Paging, in.Sort)
	return paged(s.store.AuditRecords(ctx, f))
}

func auditFilter(ctx context.Context, in api.AuditFilter) store.AuditFilter {
	return store.AuditFilter{
		Sites: scope(ctx), Subject: in.Subject, Actor: in.Actor, Action: in.Action, Outcome: in.Outcome, Kind: in.Kind, Since: in.Since, Until: in.Until,
	}
}

func (s *Server) auditShow(ctx context.Context, in *api.AuditRef) (sprout.AuditRecord, error) {
	s.sealNow(ctx)
	r, err := s.store.AuditRecord(ctx, in.Seq)
	if err == nil && outside(ctx, r.Site) {
		return sprout.AuditRecord{}, sprout.Errorf(sprout.NotFound, "cannot find audit record \"%d\"", in.Seq)
	}
	return r, err
}

func (s *Server) auditVerify(ctx context.Context, in *api.VerifyAudit) (api.AuditCheck, error) {
	known, err := parseHead(in.Head)
	if err != nil {
		return api.AuditCheck{}, err
	}
	checked, head, err := s.store.VerifyAudit(ctx, known)
	var found *audit.Finding
	if err != nil && !errors.As(err, &found) {
		return api.AuditCheck{}, err
	}
	out := api.AuditCheck{Records: checked, Intact: found == nil, Head: head}
	if found != nil {
		out.BadSeq, out.Reason = found.Seq, found.Reason
		s.log.Error("the audit is not intact", "record", found.Seq, "reason", found.Reason)
	}
	return out, nil
}

// parseHead reads RECORDS:HASH; "" is no head.
func parseHead(text string) (head sprout.AuditHead, err error) {
	if text == "" {
		return head, nil
	}
	number, hash, _ := strings.Cut(text, ":")
	head.Records, err = strconv.ParseInt(number, 10, 64)
	if raw, hexErr := hex.DecodeString(hash); err != nil || hexErr != nil || head.Records < 1 || len(raw) != sha256.Size {
		return head, sprout.InvalidField("head", "%.100q is no head such as 1234:9f86d0…", text).WithRemedy("sprout audit verify")
	}
	head.Hash = hash
	return head, nil
}

func (s *Server) providerList(_ context.Context, in *api.Paging) (api.Page[api.Provider], error) {
	var list []api.Provider
	for _, p := range provider.List() {
		list = append(list, api.Provider{
			Capability: p.Capability, Name: p.Name, Description: p.Description,
			Selected: s.config.Providers.Selected(p), Selectable: p.Selectable, Why: p.Why,
		})
	}
	return paged(store.Cut("provider", list, page(*in), func(p api.Provider) string { return p.Capability + " " + p.Name }))
}
