package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/health"
	"sprout/sim/trial"
	"sprout/wan"
)

// simCommand tries a whole installation with simulated machines.
func simCommand(e *env) *cobra.Command {
	var c trial.Config
	var faults, link, goal, dir string
	var limits map[string]string
	cmd := &cobra.Command{
		Use: "sim", Short: "Try a whole installation with simulated machines.", Args: takes(0, 0, "no arguments"),
		Long: "Bring up a private control plane, the agents of so many sites, and simulated machines with BMCs, all on loopback and in a\n" +
			"directory of their own; take every machine from unknown to deployed; let faults happen meanwhile; and report how long\n" +
			"each step took and what it cost. The exit code is 1 if a machine neither came to its goal nor ended with a named cause.\n\n" +
			"Faults that a file of --faults may name:\n  " + strings.Join(trial.FaultNames(), "\n  "),
		Example: "  sprout sim --machines 50\n  sprout sim --sites 20 --machines 2000 --link 250ms,1% --report out\n" +
			"  sprout sim --machines 200 --faults faults.yaml --workflow all --seed 7",
	}
	f := cmd.Flags()
	f.IntVar(&c.Sites, "sites", 1, "how many sites, each with its agent")
	f.IntVar(&c.Machines, "machines", 50, "how many machines in all")
	f.StringVar(&goal, "workflow", string(trial.Deploy), "how far machines go: discover, commission, deploy or all (and back)")
	f.StringVar(&faults, "faults", "", "YAML file of what goes wrong")
	f.StringVar(&link, "link", "", "the WAN: delay each way and loss, like 250ms,1%")
	f.StringVar(&dir, "report", "", "directory to write report.txt, report.json and report.html to")
	f.Uint64Var(&c.Seed, "seed", 1, "of the faults and the link")
	f.IntVar(&c.Concurrency, "concurrency", 0, "machines under way at once (default 200)")
	f.BoolVar(&c.ByStage, "by-stage", false, "no machine goes on before all are as far as it: all discovered, then all commissioned, …")
	f.DurationVar(&c.Within, "within", 0, "a boot storm: power all machines on within this time, whatever is under way")
	f.DurationVar(&c.Patience, "patience", 0, "how long each stage of a machine may take (default 40m)")
	f.StringToStringVar(&limits, "limit", nil, "how long steps may take on these machines, as boot-ramdisk=1m (default: what Sprout says)")
	f.StringVar(&c.Heap, "heap", "", "write profiles of the live heap, one a stage, to this directory")
	f.StringVar(&c.Profile, "profile", "", "write a CPU profile, labelled by part, to this file")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		c.Goal = trial.Goal(goal)
		if c.Faults, err = e.readFaults(faults); err != nil {
			return err
		}
		if c.Limits, err = parseLimits(limits); err != nil {
			return err
		}
		if link != "" {
			if c.Link, err = wan.Parse("--link", link); err != nil {
				return err
			}
		}
		if dir != "" {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return sprout.InvalidField("--report", "cannot make the directory: %v", err)
			}
		}
		health.Memory{}.Apply() // as server and agent do
		if c.Heap != "" {
			if err := os.MkdirAll(c.Heap, 0o755); err != nil {
				return sprout.InvalidField("--heap", "cannot make the directory: %v", err)
			}
		}
		c.Log = slog.New(slog.DiscardHandler)
		if e.verbose {
			c.Log = e.log
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		report, err := e.trial(ctx, c)
		if err != nil {
			return err
		}
		return e.showTrial(report, dir)
	}
	return cmd
}

// parseLimits reads the durations of --limit.
func parseLimits(given map[string]string) (map[string]time.Duration, error) {
	limits := map[string]time.Duration{}
	for step, text := range given {
		d, err := time.ParseDuration(text)
		if err != nil || d < time.Minute {
			return nil, sprout.InvalidField("--limit", "%s=%s: a step may take a minute or more, like 90s", step, text)
		}
		limits[step] = d
	}
	return limits, nil
}

// readFaults reads the file of --faults strictly.
func (e *env) readFaults(file string) ([]trial.Fault, error) {
	if file == "" {
		return nil, nil
	}
	raw, err := e.readFile("--faults", file)
	if err != nil {
		return nil, err
	}
	var faults []trial.Fault
	return faults, decodeStrict(raw, file, &faults)
}

// trialTells is how often a trial says how far it is where nobody's terminal is.
const trialTells = 5 * time.Second

// trial runs it, and shows how far it is: one line on a terminal, else a line
// every few seconds.
func (e *env) trial(ctx context.Context, c trial.Config) (trial.Report, error) {
	live := isTerminal(e.stderr)
	c.Progress = tellTrial(e.stderr, live)
	fmt.Fprintf(e.stderr, "Starting a control plane and the agents of %d sites…\n", c.Sites)
	report, err := trial.Run(ctx, c)
	if live {
		fmt.Fprintln(e.stderr)
	}
	return report, err
}

// tellTrial says on a stream how far a trial is: live in one line, else in a line
// every trialTells.
func tellTrial(to io.Writer, live bool) func(trial.Progress) {
	var said time.Duration
	return func(p trial.Progress) {
		line := fmt.Sprintf("%6s  discovered %d, ready %d, deployed %d of %d; failures %d; %.0f machines/min",
			p.Elapsed.Round(time.Second), p.Discovered, p.Ready, p.Deployed, p.Machines, p.Failures, p.PerMinute)
		switch {
		case live:
			fmt.Fprintf(to, "\r%s\x1b[K", line)
		case p.Elapsed-said >= trialTells-time.Second/2:
			said = p.Elapsed
			fmt.Fprintln(to, line)
		}
	}
}

// showTrial prints the report, keeps it in files, and fails where the product has.
func (e *env) showTrial(r trial.Report, dir string) error {
	if err := e.answer(r, func() { _ = r.WriteText(e.stdout) }); err != nil {
		return err
	}
	if dir != "" {
		for name, write := range map[string]func(io.Writer) error{
			"report.txt": r.WriteText, "report.html": r.WriteHTML,
			"report.json": func(w io.Writer) error { return json.NewEncoder(w).Encode(r) },
		} {
			if err := writeTo(filepath.Join(dir, name), write); err != nil {
				return err
			}
		}
		fmt.Fprintf(e.stderr, "The report is in %s.\n", dir)
	}
	if r.OK() {
		return nil
	}
	fmt.Fprintf(e.stderr, "%s %s\n", e.paint(e.stderr, red, "sprout:"), r.Summary())
	return errShown
}

func writeTo(file string, write func(io.Writer) error) error {
	out, err := os.Create(file)
	if err != nil {
		return sprout.InvalidField("--report", "cannot write: %v", err)
	}
	if err := write(out); err != nil {
		_ = out.Close()
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	return out.Close()
}
