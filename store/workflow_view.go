package store

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/workflow"
)

const workflowSelect = `
	SELECT w.site, s.name, coalesce(w.machine, ''), coalesce(m.name, ''), w.actor, w.request, w.revision, w.run,
	       (SELECT l.live FROM workflow_live l WHERE l.workflow = w.id)
	FROM workflow w JOIN site s ON s.id = w.site LEFT JOIN machine m ON m.id = w.machine `

// scanWorkflow reads a workflow as people see it, without the steps at its site.
func scanWorkflow(row pgx.CollectableRow) (w sprout.Workflow, err error) {
	var run workflow.Run
	var live *sprout.Live
	if err := row.Scan(&w.Site, &w.SiteName, &w.Machine, &w.MachineName, &w.Actor, &w.Request, &w.Rev, &run, &live); err != nil {
		return w, err
	}
	w.ID, w.Kind, w.State, w.Step = sprout.WorkflowID(run.ID), run.Kind, run.State, run.StepName
	w.Wait, w.Error, w.Retries, w.CreatedAt = run.Waits(), run.Failure, run.Retries, run.CreatedAt
	w.Steps = slices.Clone(orEmpty(run.Steps))
	for i := range w.Steps {
		if w.Steps[i].At == "" {
			w.Steps[i].At = "centre"
		}
	}
	if w.Error != nil {
		w.Error.Type = w.Error.Code.Type()
	}
	if w.Error != nil && w.Error.Remedy == "" {
		_, w.Error.Remedy = sprout.Explain(w.Error.Code, w.MachineName, string(w.ID), w.SiteName)
	}
	if !run.EndedAt.IsZero() {
		w.EndedAt = &run.EndedAt
	}
	if live != nil && !run.State.Ended() {
		w.Step, w.Progress = live.Step, live.Progress
		if live.Wait != nil {
			w.Wait = live.Wait
		}
	}
	return w, nil
}

// Workflow returns a workflow as people see it, its steps at the site included.
func (s *Store) Workflow(ctx context.Context, id sprout.WorkflowID) (sprout.Workflow, error) {
	list, err := s.workflows(ctx, `WHERE w.id = $1`, id)
	if err != nil {
		return sprout.Workflow{}, err
	}
	if len(list) == 0 {
		return sprout.Workflow{}, sprout.Errorf(sprout.NotFound, "cannot find workflow %q", id)
	}
	return list[0], nil
}

// A WorkflowFilter restricts a list of workflows; zero fields do not.
type WorkflowFilter struct {
	Sites   sprout.Sites
	Machine sprout.MachineID
	Kind    string
	States  []sprout.WorkflowState // any of them
	Live    bool                   // only those that have not ended
	Page
}

var workflowListing = listing[sprout.Workflow]{"workflow", "-created", map[string]order[sprout.Workflow]{
	"created": {[]key{text("w.id")}, func(w sprout.Workflow) []string { return []string{string(w.ID)} }},
	"state":   {[]key{text("w.state"), text("w.id")}, func(w sprout.Workflow) []string { return []string{string(w.State), string(w.ID)} }},
}}

// Workflows lists workflows, by default the latest first.
func (s *Store) Workflows(ctx context.Context, f WorkflowFilter) ([]sprout.Workflow, string, error) {
	var q selection
	among(&q, "w.site", f.Sites)
	equal(&q, "w.machine", f.Machine)
	equal(&q, "w.kind", f.Kind)
	switch len(f.States) {
	case 0:
	case 1:
		equal(&q, "w.state", f.States[0])
	default:
		q.where("w.state = ANY (%s)", f.States)
	}
	if f.Live {
		q.where("w.state IN ('running', 'unwinding')")
	}
	return page(workflowListing, f.Page, q, func(tail string, args ...any) ([]sprout.Workflow, error) {
		return s.workflows(ctx, tail, args...)
	})
}

// workflows reads workflows and, by one more query, their steps at the site.
func (s *Store) workflows(ctx context.Context, where string, args ...any) ([]sprout.Workflow, error) {
	list, err := many(ctx, s.db, scanWorkflow, workflowSelect+where, args...)
	if err != nil || len(list) == 0 {
		return list, err
	}
	at := map[sprout.WorkflowID]*sprout.Workflow{}
	ids := make([]string, len(list))
	for i := range list {
		at[list[i].ID], ids[i] = &list[i], string(list[i].ID)
	}
	rows, err := s.db.Query(ctx, `
		SELECT workflow, name, attempt, outcome, detail, started_at, ended_at
		FROM site_step WHERE workflow = ANY ($1) ORDER BY workflow, seq`, ids)
	if err != nil {
		return nil, explain(err)
	}
	var id sprout.WorkflowID
	r := sprout.StepRecord{At: "site"}
	if err := eachRow(rows, func() { at[id].Steps = append(at[id].Steps, r) },
		&id, &r.Name, &r.Attempt, &r.Outcome, &r.Detail, &r.StartedAt, &r.EndedAt); err != nil {
		return nil, explain(err)
	}
	for i := range list {
		arrange(&list[i])
	}
	return list, nil
}

// arrange puts the steps of centre and site in one order, and shows the step
// that runs at the site as the one the workflow is at.
func arrange(w *sprout.Workflow) {
	slices.SortStableFunc(w.Steps, func(a, b sprout.StepRecord) int { return a.StartedAt.Compare(b.StartedAt) })
	if w.Progress != nil || w.State.Ended() {
		return
	}
	for _, r := range w.Steps {
		if r.At == "site" && r.Outcome == "running" {
			w.Step = r.Name
		}
	}
}

// WorkflowInput returns the input that a workflow was started with.
func (s *Store) WorkflowInput(ctx context.Context, id sprout.WorkflowID) (json.RawMessage, error) {
	run, err := s.GetRun(ctx, string(id))
	return run.Input, err
}
