package server

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/audit"
	"sprout/provision"
	"sprout/store"
)

func (s *Server) agentList(ctx context.Context, in *api.ListOfSite) (out api.Page[sprout.Agent], err error) {
	sites, err := s.sitesOf(ctx, in.Site)
	if err != nil {
		return out, err
	}
	return paged(s.store.Agents(ctx, store.AgentFilter{Sites: sites, Page: page(in.Paging)}))
}

func (s *Server) agentShow(ctx context.Context, in *api.AgentRef) (sprout.Agent, error) {
	return s.findAgent(ctx, in.Agent)
}

func (s *Server) agentDelete(ctx context.Context, in *api.AgentRef) (api.None, error) {
	a, err := s.findAgent(ctx, in.Agent)
	if err != nil {
		return api.None{}, err
	}
	err = s.change(ctx, api.AgentDelete.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) error {
		about(r, a.Site, a.ID, a.Name)
		r.Changes = audit.Diff(a, nil)
		if err := s.store.RetireAgent(ctx, tx, a.ID); err != nil {
			return err
		}
		if _, err := s.store.ClearProblems(ctx, tx, string(a.ID)); err != nil {
			return err
		}
		if err := s.wakeUnwinding(ctx, tx, a.Site); err != nil {
			return err
		}
		return s.revokeTokenOf(ctx, tx, a)
	})
	if err != nil {
		return api.None{}, err
	}
	return api.None{}, s.store.After(ctx, func(context.Context) error { return s.cutOff(a) })
}

// wakeUnwinding has the workflows of a site look again whether anybody is there who
// could confirm that its work has stopped. Beyond mostWoken they find out by
// themselves, within minutes.
func (s *Server) wakeUnwinding(ctx context.Context, tx pgx.Tx, site sprout.SiteID) error {
	list, _, err := s.store.In(tx).Workflows(ctx, store.WorkflowFilter{
		Sites: sprout.At(site), States: []sprout.WorkflowState{sprout.Unwinding}, Page: store.Page{Limit: mostWoken},
	})
	for _, w := range list {
		err := s.engine.Signal(withTx(ctx, tx), string(w.ID), provision.SignalWorkEnded, provision.WorkEnded{})
		if err != nil && sprout.KindOf(err) != sprout.Conflict { // that has ended meanwhile
			return err
		}
	}
	return err
}

// mostWoken bounds what one transaction wakes.
const mostWoken = 1000

// revokeTokenOf ends the API token of an agent; it may have none any more.
func (s *Server) revokeTokenOf(ctx context.Context, tx pgx.Tx, a sprout.Agent) error {
	_, err := s.store.RevokeToken(ctx, tx, agentToken(a.ID))
	if sprout.KindOf(err) == sprout.NotFound {
		return nil
	}
	return err
}

// cutOff ends an agent's connection to the embedded bus. A cluster learns of it
// from its own account server.
func (s *Server) cutOff(a sprout.Agent) error {
	if s.embedded == nil || a.PublicKey == "" {
		return nil
	}
	return s.embedded.Revoke(a.PublicKey)
}

// agentToken names the API token of an agent.
func agentToken(id sprout.AgentID) string { return "agent " + string(id) }

func (s *Server) agentTokenCreate(ctx context.Context, in *api.CreateAgentToken) (made api.AgentToken, err error) {
	site, err := s.findSite(ctx, in.Body.Site)
	if err != nil {
		return made, err
	}
	ttl := time.Hour
	if in.Body.Expiry > 0 {
		ttl = time.Duration(in.Body.Expiry) * time.Second
	}
	made = api.AgentToken{Site: site.ID, SiteName: site.Name}
	err = s.change(ctx, api.AgentTokenCreate.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) (err error) {
		about(r, site.ID, site.ID, site.Name)
		if made.Secret, made.ExpiresAt, err = s.store.CreateEnrolToken(ctx, tx, site.ID, ttl); err != nil {
			return err
		}
		made.Secret, err = s.pinned(made.Secret)
		r.Changes = audit.Diff(nil, made)
		return err
	})
	return made, err
}

// agentEnrol lets an agent in by its single-use token: one transaction consumes
// the token, makes the agent the only one of its site, gives it a token of its
// own for images, and queues all that its store must hold. An agent that never
// got the answer asks again with the same token and keys, and is told the same.
func (s *Server) agentEnrol(ctx context.Context, in *api.EnrolAgent) (api.Enrolment, error) {
	var out api.Enrolment
	if a := in.Body.Address; a != "" {
		if _, err := netip.ParseAddr(a); err != nil {
			return out, sprout.InvalidField("address", "%q is no IP address", a)
		}
	}
	if err := sprout.CheckProtocol(in.Body.Protocol); err != nil {
		return out, err
	}
	seen(ctx, nil, "", "", in.Body.Name)
	in.Body.Token, _, _ = strings.Cut(in.Body.Token, ".") // what follows is for the agent
	authorities, err := s.busAuthority()
	if err != nil {
		return out, err
	}
	var before *sprout.Agent
	err = s.store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		again, err := s.enrolAgain(ctx, tx, in, &out)
		if err == nil && !again {
			before, err = s.enrolFresh(ctx, tx, in, &out)
		}
		if err != nil {
			return err
		}
		if out.Site, err = s.store.In(tx).FindSite(ctx, string(out.Agent.Site)); err != nil {
			return err
		}
		out.Bus.JWT, err = s.keys.UserJWT(out.Site.ID, out.Agent.ID, in.Body.PublicKey)
		return err
	})
	if err != nil {
		return out, err
	}
	if before != nil {
		s.replace(ctx, *before, in.Body.PublicKey, out)
	}
	out.Bus.URL, out.Bus.CA, out.CA = s.BusURL(), string(authorities), string(s.apiAuthority())
	return out, s.bus.AddSite(ctx, out.Site.ID)
}

// replace cuts off the agent before, and sends what it may have taken from the
// bus, between the commit and now, to the one in its place: all of it, as nobody
// can tell what the other took. What goes wrong is logged, and what is more than
// a batch is left: heartbeats repair it later.
func (s *Server) replace(ctx context.Context, before sprout.Agent, publicKey string, now api.Enrolment) {
	if before.PublicKey != publicKey {
		if err := s.cutOff(before); err != nil {
			s.log.Error("the agent before could not be cut off the bus", "agent", before.ID, "error", err)
		}
	}
	taken, err := s.store.OutboxAfter(ctx, now.Site.ID, now.After, relayBatch)
	if err == nil {
		err = s.sendAgain(ctx, now.Site.ID, taken)
	}
	if err != nil {
		s.log.Warn("changes for a new agent not sent again yet", "agent", now.Agent.ID, "error", err)
	}
}

// enrolAgain fills in what the agent was answered before; false where it was not.
func (s *Server) enrolAgain(ctx context.Context, tx pgx.Tx, in *api.EnrolAgent, out *api.Enrolment) (bool, error) {
	e, again, err := s.store.EnrolAgain(ctx, tx, in.Body.Token, in.Body.PublicKey, in.Body.SealKey)
	if err != nil || !again {
		return false, err
	}
	out.Agent, out.After, out.Token = e.Agent, e.After, e.Token
	return true, s.auditEnrol(ctx, tx, e.Agent, "again: the answer was lost")
}

// enrolFresh consumes the token and returns the agent that was there before.
func (s *Server) enrolFresh(ctx context.Context, tx pgx.Tx, in *api.EnrolAgent, out *api.Enrolment) (before *sprout.Agent, err error) {
	site, err := s.store.TakeEnrolToken(ctx, tx, in.Body.Token)
	if sprout.KindOf(err) == sprout.Denied {
		// The same request may have gone in between the two looks.
		if again, err := s.enrolAgain(ctx, tx, in, out); again || err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	if before, err = s.retire(ctx, tx, site); err != nil {
		return nil, err
	}
	return before, s.admit(ctx, tx, site, in, out)
}

// retire ends what the agent before had; nil where the site had none.
func (s *Server) retire(ctx context.Context, tx pgx.Tx, site sprout.SiteID) (*sprout.Agent, error) {
	a, err := s.store.In(tx).AgentOf(ctx, site)
	if sprout.KindOf(err) == sprout.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if _, err := s.store.ClearProblems(ctx, tx, string(a.ID)); err != nil {
		return nil, err
	}
	return &a, s.revokeTokenOf(ctx, tx, a)
}

func (s *Server) admit(ctx context.Context, tx pgx.Tx, site sprout.SiteID, in *api.EnrolAgent, out *api.Enrolment) error {
	var err error
	b := in.Body
	out.Agent, err = s.store.EnrolAgent(ctx, tx, sprout.Agent{
		Site: site, Name: b.Name, Version: b.Version, PublicKey: b.PublicKey, SealKey: b.SealKey, Address: b.Address,
	})
	if err != nil {
		return err
	}
	_, out.Token, err = s.store.CreateToken(ctx, tx, sprout.Token{Name: agentToken(out.Agent.ID), Role: sprout.AgentRole, Sites: sprout.At(site)})
	if err != nil {
		return err
	}
	if err := s.store.KeepEnrolment(ctx, tx, b.Token, out.Agent.ID, out.Token); err != nil {
		return err
	}
	if err := s.auditEnrol(ctx, tx, out.Agent, ""); err != nil {
		return err
	}
	out.After, err = s.store.Snapshot(ctx, tx, site)
	return err
}

func (s *Server) auditEnrol(ctx context.Context, tx pgx.Tx, a sprout.Agent, detail string) error {
	record := s.record(ctx, api.AgentEnrol.Name)
	record.Actor, record.Detail = string(a.ID), detail
	about(&record, a.Site, a.ID, a.Name)
	record.Changes = audit.Diff(nil, a)
	return s.store.Audit(ctx, tx, record)
}
