package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/audit"
	"sprout/provision"
	"sprout/store"
	"sprout/workflow"
)

const (
	watchFor   = 25 * time.Second // how long WorkflowShow is held open at most
	watchEvery = 2 * time.Second  // how often it looks without news
)

func (s *Server) workflowList(ctx context.Context, in *api.ListWorkflows) (out api.Page[sprout.Workflow], err error) {
	sites, err := s.sitesOf(ctx, in.Site)
	if err != nil {
		return out, err
	}
	f := store.WorkflowFilter{Sites: sites, States: in.State, Kind: in.Kind, Page: sorted(in.Paging, in.Sort)}
	if in.Machine != "" {
		m, err := s.findMachine(ctx, in.Machine)
		if err != nil {
			return out, err
		}
		f.Machine = m.ID
	}
	return paged(s.store.Workflows(ctx, f))
}

// workflowShow answers at once without After; with it once the workflow is
// another than the one that has this version, or after watchFor.
func (s *Server) workflowShow(ctx context.Context, in *api.ShowWorkflow) (api.VersionedWorkflow, error) {
	id, err := s.findWorkflow(ctx, in.Workflow)
	if err != nil {
		return api.VersionedWorkflow{}, err
	}
	deadline := time.NewTimer(watchFor)
	defer deadline.Stop()
	look := time.NewTicker(watchEvery)
	defer look.Stop()
	for {
		news := s.hub.news(string(id)) // before the look: nothing is missed between
		now, err := s.versioned(ctx, id)
		if err != nil || now.Version != in.After {
			return now, err
		}
		select {
		case <-news:
		case <-look.C:
		case <-deadline.C:
			return now, nil
		case <-s.hub.over:
			return now, nil
		case <-ctx.Done():
			return now, ctx.Err()
		}
	}
}

// versioned reads a workflow; its version is a digest of all that it shows.
func (s *Server) versioned(ctx context.Context, id sprout.WorkflowID) (out api.VersionedWorkflow, err error) {
	if out.Workflow, err = s.store.Workflow(ctx, id); err != nil {
		return out, err
	}
	raw, err := json.Marshal(out.Workflow)
	if err != nil {
		return out, fmt.Errorf("cannot tell the version of %s: %w", id, err)
	}
	sum := sha256.Sum256(raw)
	out.Version = hex.EncodeToString(sum[:8])
	return out, nil
}

func (s *Server) workflowRetry(ctx context.Context, in *api.WorkflowRef) (sprout.Workflow, error) {
	return s.act(ctx, api.WorkflowRetry.Name, in.Workflow, func(ctx context.Context, w sprout.Workflow, record workflow.Effect[pgx.Tx]) error {
		hold := func(ctx context.Context, tx pgx.Tx) error { return s.store.HoldImageOf(ctx, tx, w.ID) }
		return s.engine.Retry(ctx, string(w.ID), workflow.StartOptions{}, hold, record)
	})
}

func (s *Server) workflowCancel(ctx context.Context, in *api.WorkflowRef) (sprout.Workflow, error) {
	return s.act(ctx, api.WorkflowCancel.Name, in.Workflow, func(ctx context.Context, w sprout.Workflow, record workflow.Effect[pgx.Tx]) error {
		return s.engine.Cancel(ctx, string(w.ID), actor(ctx), record)
	})
}

// act does something to a workflow and returns what it is then.
func (s *Server) act(ctx context.Context, action, ref string, do func(context.Context, sprout.Workflow, workflow.Effect[pgx.Tx]) error) (sprout.Workflow, error) {
	id, err := s.findWorkflow(ctx, ref)
	if err != nil {
		return sprout.Workflow{}, err
	}
	w, err := s.store.Workflow(ctx, id)
	if err != nil {
		return w, err
	}
	record := func(ctx context.Context, tx pgx.Tx) error {
		after, err := s.store.In(tx).Workflow(ctx, id)
		if err != nil {
			return err
		}
		record := s.record(ctx, action)
		about(&record, w.Site, w.ID, w.MachineName)
		record.Detail, record.Changes = w.Kind, audit.Diff(w, after)
		return s.store.Audit(ctx, tx, record)
	}
	if err := do(ctx, w, record); err != nil {
		return w, err
	}
	return s.store.Workflow(ctx, id)
}

// start begins a workflow on a machine, with its audit record.
func (s *Server) start(ctx context.Context, action, kind string, m sprout.Machine, input any, effects ...workflow.Effect[pgx.Tx]) (sprout.Workflow, error) {
	id := sprout.NewID[sprout.WorkflowID](sprout.PrefixWorkflow)
	effects = append(effects, func(ctx context.Context, tx pgx.Tx) error {
		record := s.record(ctx, action)
		about(&record, m.Site, m.ID, m.Name)
		record.Detail, record.Changes = "as "+string(id), audit.Diff(nil, input)
		return s.store.Audit(ctx, tx, record)
	})
	input, secret := provision.Sealed(input)
	origin := withOrigin(ctx, store.Origin{Site: m.Site, Machine: m.ID, Actor: actor(ctx), Request: api.RequestID(ctx), Secret: secret})
	if _, err := s.engine.Start(origin, string(id), kind, input, workflow.StartOptions{}, effects...); err != nil {
		return sprout.Workflow{}, err
	}
	return s.store.Workflow(ctx, id)
}
