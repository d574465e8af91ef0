package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sprout"
	"sprout/store"
)

const (
	// fleetAge is how long a whole fleet is remembered: of so many results a minute
	// changes little, and thousands of machines of a model may be tested at once.
	fleetAge = time.Minute
	// mostFleets is how many fleets are remembered: each is some 300 results.
	mostFleets = 64
)

// A fleets remembers what the devices of a model have passed. Of a fleet of which fewer
// results are read than may be nothing is kept: each counts there.
type fleets struct {
	mu    sync.Mutex
	known map[string]knownFleet
}

type knownFleet struct {
	results []sprout.TestRecord
	read    time.Time
}

// fleetKey names the fleet of a result: of its model, by its test, told the same.
func fleetKey(r sprout.TestResult) string {
	return fmt.Sprintf("%q %q %v", r.Test, r.Model, r.Parameters)
}

// of returns the results to hold r to.
func (f *fleets) of(ctx context.Context, s *store.Store, r sprout.TestResult) ([]sprout.TestRecord, error) {
	key := fleetKey(r)
	f.mu.Lock()
	fleet, found := f.known[key]
	f.mu.Unlock()
	if found && time.Since(fleet.read) < fleetAge {
		return fleet.results, nil
	}
	results, whole, err := s.FleetResults(ctx, nil, r.Test, r.Model, told(r.Parameters))
	if err != nil || !whole {
		return results, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil || !found && len(f.known) >= mostFleets {
		f.known = map[string]knownFleet{}
	}
	f.known[key] = knownFleet{results, time.Now()}
	return results, nil
}
