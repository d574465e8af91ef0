package trial

import (
	"testing"
	"time"

	"sprout/api/apitest"
)

// Machines that are all powered on at once are all found, and no firmware runs out
// of its retries; what is sent for them to the database does not grow with them.
func TestStorm(t *testing.T) {
	t.Parallel()
	const machines = 300
	r, err := Run(t.Context(), Config{
		Edge:  apitest.Edge(t),
		Sites: 4, Machines: machines, Goal: Discover, Within: 2 * time.Second, Seed: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK() || r.Interrupted || r.Reached.Discovered != machines || r.Outcomes[Finished] != machines {
		t.Errorf("%s\nviolations %v\nearly %+v", r.Summary(), r.Violations, r.Early)
	}
	if r.BootRetries != 0 {
		t.Errorf("%d times a firmware gave up", r.BootRetries)
	}
	if c := r.Cost; c.SQLPerMachine < 4 || c.SQLPerMachine > 20 || c.TxPerMachine > 2 {
		t.Errorf("a discovery takes %.1f statements in %.1f transactions", c.SQLPerMachine, c.TxPerMachine)
	}
}
