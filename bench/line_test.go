package bench_test

import (
	"math"
	"strings"
	"testing"

	"sprout/bench"
)

func TestLinesAreHeldToTheirLimits(t *testing.T) {
	for _, c := range []struct {
		line  bench.Line
		says  string
		wrong string
	}{
		{bench.Line{Name: "list-vs-sql", Sprout: 5, Peer: "sql", Other: 2}, "BENCH list-vs-sql sprout=5 sql=2 ratio=2.500\n", ""},
		{bench.Line{Name: "list-vs-sql", Sprout: 5.1, Peer: "sql", Other: 2}, "BENCH list-vs-sql sprout=5.1 sql=2 ratio=2.550\n", "over 2.5"},
		{bench.Line{Name: "get-vs-sql", Sprout: 3, Peer: "sql", Other: 10}, "BENCH get-vs-sql sprout=3 sql=10 ratio=0.300\n", "under 0.4"},
		{bench.Line{Name: "cli-start-ms", Sprout: 10, Other: 50}, "BENCH cli-start-ms sprout=10 bound=50 ratio=0.200\n", ""},
		{bench.Line{Name: "get-vs-sql", Sprout: math.NaN(), Peer: "sql", Other: 10}, "BENCH get-vs-sql sprout=NaN sql=10 ratio=NaN\n", "under 0.4"},
		{bench.Line{Name: "sim-storm-lost"}, "BENCH sim-storm-lost sprout=0 bound=0 ratio=0.000\n", ""},
		{bench.Line{Name: "sim-storm-lost", Sprout: 1}, "BENCH sim-storm-lost sprout=1 bound=0 ratio=+Inf\n", "over 1"},
		{bench.Line{Name: "new", Sprout: 1, Other: 1}, "BENCH new sprout=1 bound=1 ratio=1.000\n", "has no limit"},
	} {
		var said strings.Builder
		err := c.line.Print(&said)
		if said.String() != c.says {
			t.Errorf("%+v prints %q", c.line, said.String())
		}
		if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%+v: %v, not %q", c.line, err, c.wrong)
		}
	}
}
