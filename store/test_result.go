package store

import (
	"context"
	"strconv"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// A ResultFilter restricts a list of what tests found; zero fields do not.
type ResultFilter struct {
	Sites   sprout.Sites
	Machine sprout.MachineID
	Test    string
	Device  string
	Serial  string
	Outcome sprout.Outcome
	Page
}

var resultListing = listing[sprout.TestRecord]{"test result", "-at", map[string]order[sprout.TestRecord]{
	"at": {[]key{number("seq")}, func(r sprout.TestRecord) []string { return []string{strconv.FormatInt(r.Seq, 10)} }},
}}

// TestResults lists what tests found in machines that are there, with what they
// said, by default the latest first.
func (s *Store) TestResults(ctx context.Context, f ResultFilter) ([]sprout.TestRecord, string, error) {
	var q selection
	among(&q, "r.site", f.Sites)
	equal(&q, "r.machine", f.Machine)
	equal(&q, "r.test", f.Test)
	equal(&q, "r.device", f.Device)
	equal(&q, "r.serial", f.Serial)
	equal(&q, "r.outcome", f.Outcome)
	return page(resultListing, f.Page, q, func(tail string, args ...any) ([]sprout.TestRecord, error) {
		return many(ctx, s.db, func(row pgx.CollectableRow) (r sprout.TestRecord, err error) {
			err = row.Scan(&r.Seq, &r.Site, &r.Machine, &r.MachineName, &r.Test, &r.Kind, &r.Device, &r.Serial, &r.Outcome, &r.Message, &r.Metrics, &r.Output, &r.At, &r.Seconds, &r.Model, &r.Parameters)
			return r, err
		}, `
			SELECT r.seq, r.site, r.machine, m.name, r.test, r.kind, r.device, r.serial, r.outcome, r.message, r.metrics, r.output, r.at, r.seconds, r.model, r.parameters
			FROM test_result r JOIN machine m ON m.site = r.site AND m.id = r.machine `+tail, args...)
	})
}
