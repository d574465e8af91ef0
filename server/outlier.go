package server

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/hwtest"
	"sprout/hwtest/builtin"
	"sprout/store"
)

// compareTests holds what a machine has passed to what its sisters have: devices of
// the same model, in whatever machine, by the same test with the same parameters.
// What was far worse before and was not tested again stays so.
func (s *Server) compareTests(ctx context.Context, tx pgx.Tx, id sprout.MachineID, results []sprout.TestResult) error {
	before, err := s.store.In(tx).Outliers(ctx, id)
	if err != nil {
		return err
	}
	declared, err := s.declared(ctx, tx, results)
	if err != nil {
		return err
	}
	list := untested(before, results)
	read := map[string][]sprout.TestRecord{} // a machine may have sixty disks of a model
	for _, r := range results {
		figures := compared(declared[r.Test], r)
		if len(figures) == 0 {
			continue
		}
		key := fleetKey(r)
		fleet, found := read[key]
		if !found {
			if fleet, err = s.fleets.of(ctx, s.store.In(tx), r); err != nil {
				return err
			}
			read[key] = fleet
		}
		for _, m := range figures {
			if o, stray := outlierOf(m, sprout.TestRecord{Machine: id, TestResult: r}, fleet); stray {
				list = append(list, accepted(o, m, before))
			}
		}
	}
	return s.keepOutliers(ctx, tx, id, list)
}

// keepOutliers keeps what of a machine is far worse than its sisters, and makes a
// problem of what nobody has accepted.
func (s *Server) keepOutliers(ctx context.Context, tx pgx.Tx, id sprout.MachineID, list []sprout.Outlier) error {
	if err := s.store.SetOutliers(ctx, tx, id, list); err != nil {
		return err
	}
	var said []string
	for _, o := range list {
		if o.Accepted == nil {
			said = append(said, o.String())
		}
	}
	return s.tellMachine(ctx, tx, id, sprout.HardwareOutlier, said)
}

// declared finds the tests of results, by name. One that was deleted is not there.
func (s *Server) declared(ctx context.Context, tx pgx.Tx, results []sprout.TestResult) (map[string]sprout.Test, error) {
	known := map[string]sprout.Test{}
	for _, e := range builtin.Library() {
		known[e.Name] = e.Test
	}
	if !slices.ContainsFunc(results, func(r sprout.TestResult) bool { return known[r.Test].Name == "" && len(r.Metrics) > 0 }) {
		return known, nil
	}
	added, err := s.store.In(tx).Tests(ctx)
	for _, t := range added {
		known[t.Name] = t
	}
	return known, err
}

// told is what a test was told: what was told nothing is not compared with what was.
func told(parameters map[string]string) map[string]string {
	if parameters == nil {
		return map[string]string{}
	}
	return parameters
}

// compared lists the figures of a result of which more, or less, is better.
func compared(t sprout.Test, r sprout.TestResult) (figures []sprout.TestMetric) {
	if r.Outcome != sprout.Passed || r.Model == "" {
		return nil
	}
	for _, m := range t.Metrics {
		if _, found := valueOf(m, r); found && m.Better != "" {
			figures = append(figures, m)
		}
	}
	return figures
}

func valueOf(m sprout.TestMetric, r sprout.TestResult) (float64, bool) {
	i := slices.IndexFunc(r.Metrics, func(found sprout.Metric) bool { return found.Name == m.Name })
	if i < 0 {
		return 0, false
	}
	return r.Metrics[i].Value, true
}

// outlierOf holds a figure of a device to that of the others in the fleet.
func outlierOf(m sprout.TestMetric, r sprout.TestRecord, fleet []sprout.TestRecord) (sprout.Outlier, bool) {
	var sisters []float64
	for _, other := range fleet {
		if v, found := valueOf(m, other.TestResult); found && other.Part() != r.Part() {
			sisters = append(sisters, v)
		}
	}
	value, _ := valueOf(m, r.TestResult)
	usual, percent, stray := hwtest.Stray(m, value, sisters)
	return sprout.Outlier{
		Test: r.Test, Kind: r.Kind, Device: r.Device, Serial: r.Serial, Model: r.Model, Figure: m.Name, Unit: m.Unit,
		Value: value, Median: usual.Median, Sisters: len(sisters), Percent: percent,
	}, stray
}

// accepted notes on an outlier that it was accepted before, and is no worse.
func accepted(o sprout.Outlier, m sprout.TestMetric, before []sprout.Outlier) sprout.Outlier {
	for _, old := range before {
		if old.Accepted != nil && old.Test == o.Test && old.Figure == o.Figure && samePart(old, o.Device, o.Serial) && hwtest.StillAccepted(m.Better, o.Value, *old.Accepted) {
			o.Accepted = old.Accepted
		}
	}
	return o
}

func samePart(o sprout.Outlier, device, serial string) bool {
	return o.Serial == serial && (serial != "" || o.Device == device)
}

// untested lists the outliers whose test has not been passed again: but for parts
// that are gone, as others of their kind were tested and they were not.
func untested(before []sprout.Outlier, results []sprout.TestResult) (kept []sprout.Outlier) {
	for _, o := range before {
		var again, kind, there bool
		for _, r := range results {
			if r.Test == sprout.RestartsTest { // it is no device's
				continue
			}
			here := samePart(o, r.Device, r.Serial) && r.Kind == o.Kind
			again = again || here && r.Test == o.Test && r.Outcome == sprout.Passed
			kind, there = kind || r.Kind == o.Kind, there || here
		}
		if !again && (there || !kind) {
			kept = append(kept, o)
		}
	}
	return kept
}

func (s *Server) testFleet(ctx context.Context, in *api.TestFleetOf) (out api.Page[sprout.TestFleet], err error) {
	t, err := s.findTest(ctx, in.Test)
	if err != nil {
		return out, err
	}
	sites, err := s.sitesOf(ctx, in.Site)
	if err != nil {
		return out, err
	}
	models, err := s.store.FleetModels(ctx, t.Name)
	if err != nil {
		return out, err
	}
	var all []sprout.TestFleet
	for _, model := range models {
		if !strings.Contains(strings.ToLower(model), strings.ToLower(in.Model)) {
			continue
		}
		fleet, _, err := s.store.FleetResults(ctx, sites, t.Name, model, nil)
		if err != nil {
			return out, err
		}
		all = append(all, fleetsOf(t, fleet)...)
	}
	return paged(store.Cut("test fleet", all, page(in.Paging), func(f sprout.TestFleet) string {
		return strings.Join([]string{f.Model, fmt.Sprint(f.Parameters), f.Figure}, "\n")
	}))
}

// fleetsOf measures the results of one model: each figure, for each of what the
// test was told.
func fleetsOf(t sprout.Test, results []sprout.TestRecord) (all []sprout.TestFleet) {
	alike := map[string][]sprout.TestRecord{}
	for _, r := range results {
		key := fmt.Sprint(r.Parameters) // in the order of their names
		alike[key] = append(alike[key], r)
	}
	for _, key := range slices.Sorted(maps.Keys(alike)) {
		for _, m := range t.Metrics {
			if f, ok := fleetOf(m, alike[key]); ok {
				all = append(all, f)
			}
		}
	}
	return all
}

func fleetOf(m sprout.TestMetric, results []sprout.TestRecord) (f sprout.TestFleet, ok bool) {
	var values []float64
	f = sprout.TestFleet{Figure: m.Name, Unit: m.Unit, Better: m.Better, Outliers: []sprout.FleetOutlier{}}
	for _, r := range results {
		if v, found := valueOf(m, r.TestResult); found {
			values = append(values, v)
		} else {
			continue
		}
		if o, stray := outlierOf(m, r, results); stray {
			f.Outliers = append(f.Outliers, sprout.FleetOutlier{Machine: r.Machine, MachineName: r.MachineName, Outlier: o})
		}
	}
	if len(values) == 0 || m.Better == "" {
		return f, false
	}
	spread := hwtest.SpreadOf(values)
	f.Model, f.Parameters, f.Devices = results[0].Model, told(results[0].Parameters), len(values)
	f.Least, f.Median, f.Deviation, f.Most = spread.Least, spread.Median, spread.Deviation, spread.Most
	return f, true
}
