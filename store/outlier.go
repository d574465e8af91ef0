package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"sprout"
)

const (
	// fleetResults is how many results of a model are looked at, the newest.
	fleetResults = 300
	// mostModels bounds how many models of devices a test may be told apart by.
	mostModels = 500
)

// FleetResults returns the newest results of a test that devices of a model passed
// with the parameters (nil: any): one a device, at most fleetResults. There are more, or
// as many, where it is whole.
func (s *Store) FleetResults(ctx context.Context, sites sprout.Sites, test, model string, parameters map[string]string) (fleet []sprout.TestRecord, whole bool, err error) {
	var q selection
	among(&q, "r.site", sites)
	equal(&q, "r.test", test)
	q.where("r.model <> '' AND r.model = %s", model)
	q.where("r.outcome = %s", sprout.Passed)
	if parameters != nil {
		q.where("r.parameters = %s", parameters)
	}
	list, err := many(ctx, s.db, func(row pgx.CollectableRow) (r sprout.TestRecord, err error) {
		err = row.Scan(&r.Seq, &r.Site, &r.Machine, &r.MachineName, &r.Test, &r.Kind, &r.Device, &r.Serial, &r.Model, &r.Parameters, &r.Metrics, &r.At)
		return r, err
	}, `
		SELECT r.seq, r.site, r.machine, m.name, r.test, r.kind, r.device, r.serial, r.model, r.parameters, r.metrics, r.at
		FROM test_result r JOIN machine m ON m.site = r.site AND m.id = r.machine WHERE `+strings.Join(q.conditions, " AND ")+` ORDER BY r.seq DESC LIMIT `+strconv.Itoa(fleetResults), q.args...)
	return newestOf(list), len(list) == fleetResults, err
}

// newestOf keeps of results, the newest first, one of each device and parameters.
func newestOf(list []sprout.TestRecord) (kept []sprout.TestRecord) {
	type key struct{ part, parameters string }
	seen := map[key]bool{}
	for _, r := range list {
		k := key{r.Part(), fmt.Sprint(r.Parameters)} // it prints maps in the order of their keys
		if !seen[k] {
			seen[k] = true
			kept = append(kept, r)
		}
	}
	return kept
}

// FleetModels lists the models of the devices that a test has been run on. It steps
// from one to the next by the index: there may be millions of results.
func (s *Store) FleetModels(ctx context.Context, test string) ([]string, error) {
	return many(ctx, s.db, pgx.RowTo[string], `
		WITH RECURSIVE step (model) AS (
			(SELECT model FROM test_result WHERE test = $1 AND model <> '' ORDER BY model LIMIT 1)
			UNION ALL
			SELECT (SELECT r.model FROM test_result r WHERE r.test = $1 AND r.model <> '' AND r.model > step.model ORDER BY r.model LIMIT 1)
			FROM step WHERE step.model IS NOT NULL)
		SELECT model FROM step WHERE model IS NOT NULL LIMIT $2`, test, mostModels)
}

// SetOutliers keeps what of the machine is far worse than its sisters.
func (s *Store) SetOutliers(ctx context.Context, tx pgx.Tx, id sprout.MachineID, list []sprout.Outlier) error {
	_, err := exec(ctx, tx, `UPDATE machine SET outliers = $2 WHERE id = $1 AND outliers IS DISTINCT FROM $2`, id, orEmpty(list))
	return err
}

// Outliers returns what of the machine is far worse than its sisters.
func (s *Store) Outliers(ctx context.Context, id sprout.MachineID) ([]sprout.Outlier, error) {
	return one(ctx, s.db, pgx.RowTo[[]sprout.Outlier], `SELECT outliers FROM machine WHERE id = $1`, id)
}
