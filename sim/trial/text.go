package trial

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteText writes the report for people.
func (r Report) WriteText(w io.Writer) error {
	out := &strings.Builder{}
	r.writeHead(out)
	r.writeTroubles(out)
	r.writeSteps(out)
	r.writeCost(out)
	_, err := io.WriteString(w, out.String())
	return err
}

func (r Report) writeHead(out *strings.Builder) {
	s := r.Setup
	fmt.Fprintf(out, "Simulated %d machines at %d sites to %s, %d at once, link %s, seed %d, %d processors.\n",
		s.Machines, s.Sites, s.Workflow, s.Concurrency, s.Link, s.Seed, s.Processors)
	if r.Interrupted {
		out.WriteString("Stopped before the end: this is the report so far.\n")
	}
	fmt.Fprintf(out, "\n%s, in %s.\n\n", r.Summary(), time.Duration(r.Seconds*float64(time.Second)).Round(100*time.Millisecond))
	table(out, func(row func(...any)) {
		row("", "machines", "per minute")
		row("discovered", r.Reached.Discovered, fmt.Sprintf("%.0f", r.PerMinute.Discovered))
		row("ready", r.Reached.Ready, fmt.Sprintf("%.0f", r.PerMinute.Ready))
		row("deployed", r.Reached.Deployed, fmt.Sprintf("%.0f", r.PerMinute.Deployed))
		if s.Workflow == All {
			row("released", r.Reached.Released, "")
		}
	})
}

// shownEarly is how many machines that did not come to the goal the text names.
const shownEarly = 10

func (r Report) writeTroubles(out *strings.Builder) {
	for _, v := range r.Violations {
		fmt.Fprintf(out, "\nNEVER: %s\n", v)
	}
	if len(r.Faults) > 0 {
		out.WriteString("\nFaults injected:")
		for _, name := range sortedKeys(r.Faults) {
			fmt.Fprintf(out, " %s %d", name, r.Faults[name])
		}
		out.WriteString("\n")
	}
	if r.LinkTorn > 0 {
		fmt.Fprintf(out, "Connections that the link dropped: %d\n", r.LinkTorn)
	}
	if r.BootRetries > 0 {
		fmt.Fprintf(out, "Boots that firmware had to try again: %d\n", r.BootRetries)
	}
	if len(r.Causes) > 0 {
		out.WriteString("\nFailures of workflows, by cause:\n")
		table(out, func(row func(...any)) {
			for _, c := range r.Causes {
				row(c.Count, c.Code, c.Step, c.Example)
			}
		})
	}
	if len(r.Early) > 0 {
		out.WriteString("\nMachines that did not come to the goal:\n")
		table(out, func(row func(...any)) {
			for _, e := range r.Early[:min(len(r.Early), shownEarly)] {
				row(e.Machine, e.Site, e.Outcome, e.Stage, e.Reason)
			}
		})
		if more := len(r.Early) - shownEarly; more > 0 {
			fmt.Fprintf(out, "  and %d more, in report.json\n", more)
		}
	}
}

func (r Report) writeSteps(out *strings.Builder) {
	out.WriteString("\nSeconds of each step, by who timed it:\n")
	table(out, func(row func(...any)) {
		row("at", "step", "count", "p50", "p95", "p99", "max")
		for _, s := range r.Steps {
			row(s.At, s.Name, s.Count, seconds(s.P50), seconds(s.P95), seconds(s.P99), seconds(s.Max))
		}
	})
}

func (r Report) writeCost(out *strings.Builder) {
	c := r.Cost
	out.WriteString("\nCost (server, agents and simulated machines are one process):\n")
	table(out, func(row func(...any)) {
		row("peak memory", fmt.Sprintf("%.0f MB", c.PeakMemoryMB), "and PostgreSQL", fmt.Sprintf("%.0f MB", c.PeakPostgresMB))
		row("of it", fmt.Sprintf("%.0f MB", c.PeakLiveMB), "of heap that lived", fmt.Sprintf("%.0f MB", c.PeakStacksMB), "of stacks, each at its peak")
		row("processor time", fmt.Sprintf("%.1f s", c.CPUSeconds), "and PostgreSQL", fmt.Sprintf("%.1f s", c.PostgresSeconds))
		if c.ServerCPU > 0 {
			row("of it", fmt.Sprintf("%.1f s", c.ServerCPU), "server,", fmt.Sprintf("%.1f s", c.AgentsCPU), "agents,", fmt.Sprintf("%.1f s", c.MachinesCPU), "machines, the rest garbage")
		}
		row("a machine", fmt.Sprintf("%.0f ms", 1000*c.CPUPerMachine), "of processor time in all")
		row("", fmt.Sprintf("%.0f", c.SQLPerMachine), "SQL statements", fmt.Sprintf("in %.0f transactions", c.TxPerMachine))
		row("", fmt.Sprintf("%.1f kB", c.BusPerMachine/1000), "on the bus")
		row("", fmt.Sprintf("%.1f kB", c.APIPerMachine/1000), "between agents and API")
		row("", fmt.Sprintf("%.0f KiB", c.MemoryPerMachine), "of memory, the simulated machine's included")
		row("", fmt.Sprintf("%.1f KiB", c.AgentPerMachine), "of its agent's memory")
		row("server and agents", fmt.Sprintf("%.0f MB", c.ProductMB), "of the peak,", fmt.Sprintf("%.0f MB", c.AgentsMB), "of the agents at rest")
	})
	out.WriteString("\nStatements that were waited for most:\n")
	table(out, func(row func(...any)) {
		row("count", "ms each", "statement")
		for _, s := range r.Most() {
			row(s.Count, fmt.Sprintf("%.2f", 1000*s.Seconds/float64(max(s.Count, 1))), s.SQL)
		}
	})
}

func seconds(s float64) string { return fmt.Sprintf("%.3f", s) }

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// table writes rows with aligned columns, indented.
func table(out io.Writer, fill func(row func(cells ...any))) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fill(func(cells ...any) {
		fmt.Fprint(t, "  ")
		for i, c := range cells {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, c)
		}
		fmt.Fprintln(t)
	})
	_ = t.Flush() // to a string: cannot fail
}
