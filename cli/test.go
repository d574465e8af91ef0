package cli

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func testCommand(e *env) *cobra.Command {
	return group("test", "Hardware tests: what they are, and what they have found.",
		testListCommand(e), testShowCommand(e), testAddCommand(e), testHistoryCommand(e), testFleetCommand(e),
		deleteCommand(e, "test", "rack-burn-in", api.TestDelete, testRef, e.testLoss))
}

func testRef(ref string) api.TestRef { return api.TestRef{Test: ref} }

func testListCommand(e *env) *cobra.Command {
	var in api.ListTests
	c := listCommand(e, api.TestList, &in, listing[sprout.Test]{
		Example: "  sprout test list\n  sprout test list --kind disk", None: "no tests",
		Columns: []column[sprout.Test]{
			{Name: "NAME", Value: func(t sprout.Test) string { return t.Name }},
			{Name: "TESTS", Value: func(t sprout.Test) string { return t.Kind }},
			{Name: "RUNS", Value: whenRun},
			{Name: "TIMEOUT", Value: timeoutOf},
			{Name: "BY", Value: addedBy},
			{Name: "TITLE", Value: func(t sprout.Test) string { return t.Title }},
			{Name: "DIGEST", Value: func(t sprout.Test) string { return t.Digest }, Wide: true},
		},
	})
	c.Flags().StringVar(&in.Kind, "kind", "", "only tests of: cpu, memory, disk, nic, gpu or node")
	return c
}

func whenRun(t sprout.Test) string {
	when := "when asked for"
	if t.Usual {
		when = "always"
	}
	if t.Destructive {
		when += ", destructive"
	}
	return when
}

func addedBy(t sprout.Test) string {
	if t.Builtin {
		return "Sprout"
	}
	return t.By
}

func timeoutOf(t sprout.Test) string {
	text := brief(time.Duration(t.Timeout) * time.Second)
	if t.TimeoutPlus != "" {
		text += " + " + t.TimeoutPlus
	}
	return text
}

func testShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show TEST", Short: api.TestShow.Help, Args: takes(1, 1, "the name of a test"), Example: "  sprout test show disk-speed",
		RunE: func(c *cobra.Command, args []string) error {
			t, err := call(c.Context(), e, api.TestShow, testRef(args[0]))
			if err != nil {
				return err
			}
			return e.answer(t, func() { e.showTest(t) })
		},
	}
}

func (e *env) showTest(t sprout.Test) {
	atOnce := "one device after the other"
	if t.Parallel {
		atOnce = "all devices at the same time"
	}
	lines := []line{
		{"Name", t.Name}, {"Title", t.Title}, {"Tests", t.Kind + ", " + atOnce}, {"Runs", whenRun(t)}, {"Timeout", timeoutOf(t)},
		{"Needs", strings.Join(t.Needs, ", ")}, {"By", addedBy(t)}, {"Digest", t.Digest},
	}
	if !t.CreatedAt.IsZero() {
		lines = append(lines, line{"Added", moment(t.CreatedAt)})
	}
	writeLines(e.stdout, lines)
	if len(t.Parameters) > 0 {
		fmt.Fprintln(e.stdout)
		writeTable(e, t.Parameters, []column[sprout.TestParameter]{
			{Name: "PARAMETER", Value: func(p sprout.TestParameter) string { return p.Name }},
			{Name: "KIND", Value: func(p sprout.TestParameter) string { return string(p.Kind) }},
			{Name: "DEFAULT", Value: func(p sprout.TestParameter) string { return p.Default }},
			{Name: "FROM", Value: func(p sprout.TestParameter) string { return p.Least }},
			{Name: "TO", Value: func(p sprout.TestParameter) string { return p.Most }},
			{Name: "MEANS", Value: parameterMeans},
		})
	}
	if len(t.Metrics) > 0 {
		fmt.Fprintln(e.stdout)
		writeTable(e, t.Metrics, []column[sprout.TestMetric]{
			{Name: "FIGURE", Value: func(m sprout.TestMetric) string { return m.Name }},
			{Name: "UNIT", Value: func(m sprout.TestMetric) string { return m.Unit }},
			{Name: "AT LEAST", Value: func(m sprout.TestMetric) string { return orNothing(m.Least) }},
			{Name: "AT MOST", Value: func(m sprout.TestMetric) string { return orNothing(m.Most) }},
			{Name: "MEANS", Value: func(m sprout.TestMetric) string { return m.Title }},
		})
	}
}

func parameterMeans(p sprout.TestParameter) string {
	if len(p.Among) == 0 {
		return p.Title
	}
	return strings.TrimSpace(p.Title + " (" + strings.Join(p.Among, ", ") + ")")
}

func orNothing(v *float64) string {
	if v == nil {
		return ""
	}
	return fmt.Sprintf("%g", *v)
}

func testAddCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "add NAME FILE", Short: api.TestAdd.Help, Args: takes(2, 2, "a name and a file"),
		Long: "Add a hardware test: a script or a static program, at most 16 MiB, which declares in comments at its head what it tests,\n" +
			"its parameters, its figures and what is good of them. It runs as root on machines that are commissioned with --test NAME.\n" +
			"docs/how-to/hardware-tests.md tells how to write one.",
		Example: "  sprout test add rack-burn-in burn-in.sh\n  sprout machine commission web-01 --test rack-burn-in:hours=4 --wait",
		RunE: func(c *cobra.Command, args []string) error {
			f, err := os.Open(args[1])
			if err != nil {
				return sprout.InvalidField("FILE", "cannot read it: %v", err)
			}
			defer f.Close() //nolint:errcheck // only read
			info, err := f.Stat()
			if err != nil || !info.Mode().IsRegular() {
				return sprout.InvalidField("FILE", "%s is no regular file", args[1])
			}
			conn, err := e.client()
			if err != nil {
				return err
			}
			t, err := conn.AddTest(c.Context(), api.AddTest{Name: args[0], Content: f}, info.Size())
			if err != nil {
				return err
			}
			return e.say(t, "test %s is added: %s, %s; run it with: sprout machine commission MACHINE --test %s", t.Name, t.Title, suffixed(len(t.Parameters), "parameters", "parameter"), t.Name)
		},
	}
}

func testHistoryCommand(e *env) *cobra.Command {
	var in api.ListTestRecords
	c := listOf(e, api.TestHistory, &in, listing[sprout.TestRecord]{
		Example: "  sprout test history --machine web-01\n  sprout test history --test disk-speed --serial S4X7NF0M\n  sprout test history --outcome failed --site lon1",
		None:    "no test has found anything: sprout machine commission MACHINE", Grows: true,
		Columns: []column[sprout.TestRecord]{
			{Name: "AT", Value: func(r sprout.TestRecord) string { return moment(r.At) }},
			{Name: "MACHINE", Value: func(r sprout.TestRecord) string { return r.MachineName }},
			{Name: "TEST", Value: func(r sprout.TestRecord) string { return r.Test }},
			{Name: "DEVICE", Value: func(r sprout.TestRecord) string { return r.Device }},
			{Name: "SERIAL", Value: func(r sprout.TestRecord) string { return r.Serial }},
			{Name: "OUTCOME", Value: func(r sprout.TestRecord) string { return string(r.Outcome) }},
			{Name: "FIGURES", Value: func(r sprout.TestRecord) string { return figures(r.TestResult) }},
			{Name: "MESSAGE", Value: func(r sprout.TestRecord) string { return r.Message }},
		},
	}, "history", 0, "no arguments", func([]string) {})
	f := c.Flags()
	f.StringVar(&in.Site, "site", "", "only of machines of this site")
	f.StringVar(&in.Machine, "machine", "", "only of this machine")
	f.StringVar(&in.Test, "test", "", "only of this test")
	f.StringVar(&in.Device, "device", "", "only of devices of this name, as nvme0n1")
	f.StringVar(&in.Serial, "serial", "", "only of the device of this serial number or MAC address, in whatever machine it was")
	f.StringVar((*string)(&in.Outcome), "outcome", "", "only passed, failed or skipped")
	return c
}

// testChoices reads the words of --test: NAME or NAME:PARAMETER=VALUE,…
func testChoices(words []string) (all []sprout.TestChoice, err error) {
	for _, word := range words {
		name, rest, more := strings.Cut(word, ":")
		choice := sprout.TestChoice{Test: name, Parameters: map[string]string{}}
		ok := name != ""
		for more && ok {
			pair, after, others := strings.Cut(rest, ",")
			var key, value string
			key, value, ok = strings.Cut(pair, "=")
			_, twice := choice.Parameters[key]
			ok = ok && key != "" && !twice
			choice.Parameters[key] = value
			rest, more = after, others
		}
		if !ok {
			return nil, sprout.InvalidField("--test", "%q must be a test, or a test and its parameters, each once, as disk-speed:runtime=1m,depth=32", word).WithRemedy("sprout test list")
		}
		all = append(all, choice)
	}
	return all, nil
}
