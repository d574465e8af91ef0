package server

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/provision"
	"sprout/store"
)

// pastFor is how long what past runs took is remembered: a fleet that is
// deployed at once asks for each machine.
const pastFor = time.Minute

// past remembers how long the steps of a kind of workflow took on a model.
type past struct {
	mu    sync.Mutex
	known map[[3]string]pastSteps // by kind, vendor and model
}

type pastSteps struct {
	at    time.Time
	steps map[string]sprout.Usual
}

func (p *past) steps(ctx context.Context, s *store.Store, kind, vendor, model string) (map[string]sprout.Usual, error) {
	key := [3]string{kind, vendor, model}
	p.mu.Lock()
	k, ok := p.known[key]
	p.mu.Unlock()
	if ok && time.Since(k.at) < pastFor {
		return k.steps, nil
	}
	// Nobody waits here for who waits for a connection: two may ask the same.
	steps, err := s.UsualSteps(ctx, kind, vendor, model)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || len(p.known) > 1000 {
		p.known = map[[3]string]pastSteps{}
	}
	p.known[key] = pastSteps{time.Now(), steps}
	return steps, nil
}

// Basis returns what the limits of a machine's work are made from.
func (c *centre) Basis(ctx context.Context, m sprout.Machine, kind string) (b provision.Basis, err error) {
	inv := m.Inventory
	if inv == nil {
		return b, nil
	}
	b.Size.Memory = inv.MemoryBytes
	for _, d := range inv.Disks {
		b.Size.Disks += d.Bytes
	}
	if inv.Model == "" {
		return b, nil
	}
	b.Model = inv.ModelName()
	if b.Set, err = c.store.ModelLimits(ctx, inv.Vendor, inv.Model); err != nil {
		return b, err
	}
	b.Past, err = c.past.steps(ctx, c.store, kind, inv.Vendor, inv.Model)
	return b, err
}

func (s *Server) modelList(ctx context.Context, in *api.Paging) (out api.Page[sprout.Model], err error) {
	models, err := s.store.Models(ctx, scope(ctx))
	if err != nil {
		return out, err
	}
	return paged(store.Cut("model", models, page(*in), sprout.Model.String))
}

func (s *Server) findModel(ctx context.Context, ref string) (sprout.Model, error) {
	models, err := s.store.Models(ctx, scope(ctx))
	if err != nil {
		return sprout.Model{}, err
	}
	return match("model", ref, models, func(m sprout.Model) []string { return []string{m.String(), m.Name} })
}

func (s *Server) modelShow(ctx context.Context, in *api.ModelRef) (api.ModelReport, error) {
	m, err := s.findModel(ctx, in.Model)
	if err != nil {
		return api.ModelReport{}, err
	}
	return s.reportModel(ctx, m)
}

func (s *Server) reportModel(ctx context.Context, m sprout.Model) (api.ModelReport, error) {
	report := api.ModelReport{Model: m, Steps: []api.ModelStep{}}
	for _, kind := range provision.Kinds {
		past, err := s.store.UsualSteps(ctx, kind, m.Vendor, m.Name)
		if err != nil {
			return report, err
		}
		for _, limit := range provision.StepLimits(kind, provision.Basis{
			Model: m.String(), Size: provision.Size{Memory: m.MemoryBytes, Disks: m.DiskBytes}, Past: past, Set: m.Limits,
		}) {
			step := api.ModelStep{Workflow: kind, StepLimit: limit, Runs: past[limit.Step].Runs}
			step.P50, step.P95 = figures(past[limit.Step])
			report.Steps = append(report.Steps, step)
		}
	}
	return report, nil
}

// figures are the seconds of a usual, 0 where too few runs tell.
func figures(u sprout.Usual) (p50, p95 float64) {
	if u.Runs < leastRuns {
		return 0, 0
	}
	return u.P50.Seconds(), u.P95.Seconds()
}

func (s *Server) modelSet(ctx context.Context, in *api.SetModel) (api.ModelReport, error) {
	m, err := s.findModel(ctx, in.Model)
	if err != nil {
		return api.ModelReport{}, err
	}
	if err := checkLimits(in.Body.Limits); err != nil {
		return api.ModelReport{}, err
	}
	err = s.change(ctx, api.ModelSet.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) error {
		about(r, "", "model "+m.String(), m.String())
		var said []string
		for _, step := range slices.Sorted(maps.Keys(in.Body.Limits)) {
			limit := time.Duration(in.Body.Limits[step]) * time.Second
			said = append(said, fmt.Sprintf("%s %s, was %s", step, orWorkedOut(limit), orWorkedOut(limitOf(m, step))))
			if err := s.store.SetModelLimit(ctx, tx, m.Vendor, m.Name, step, limit, actor(ctx)); err != nil {
				return err
			}
		}
		r.Detail = strings.Join(said, "; ")
		m.Limits, err = s.store.In(tx).ModelLimits(ctx, m.Vendor, m.Name)
		return err
	})
	if err != nil {
		return api.ModelReport{}, err
	}
	return s.reportModel(ctx, m)
}

// limitOf is the limit that is set for a step, 0 if none is.
func limitOf(m sprout.Model, step string) time.Duration {
	for _, l := range m.Limits {
		if l.Step == step {
			return time.Duration(l.Seconds) * time.Second
		}
	}
	return 0
}

func orWorkedOut(limit time.Duration) string {
	if limit == 0 {
		return "not set"
	}
	return limit.String()
}

// checkLimits holds limits to steps that sites take, and to sensible times.
func checkLimits(limits map[string]int64) error {
	var steps []string
	for _, kind := range provision.Kinds {
		for _, step := range provision.SiteSteps(kind) {
			if !slices.Contains(steps, step) {
				steps = append(steps, step)
			}
		}
	}
	for _, step := range slices.Sorted(maps.Keys(limits)) {
		seconds := limits[step]
		if !slices.Contains(steps, step) {
			return sprout.InvalidField("limits."+step, "there is no such step; the steps are %s", strings.Join(steps, ", "))
		}
		if least, most := int64(provision.LeastLimit/time.Second), int64(provision.LongestLimit/time.Second); seconds != 0 && (seconds < least || seconds > most) {
			return sprout.InvalidField("limits."+step, "%d s is not from %d to %d, nor 0", seconds, least, most)
		}
	}
	return nil
}
