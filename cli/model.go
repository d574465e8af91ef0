package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func modelCommand(e *env) *cobra.Command {
	return group("model", "Kinds of machines, and how long steps take and may take on them.", modelListCommand(e), modelShowCommand(e), modelSetCommand(e))
}

func modelListCommand(e *env) *cobra.Command {
	return listCommand(e, api.ModelList, &api.Paging{}, listing[sprout.Model]{
		Example: "  sprout model list", None: "no model is known yet: machines tell theirs when they are commissioned",
		Columns: []column[sprout.Model]{
			{Name: "MODEL", Value: func(m sprout.Model) string { return m.Name }},
			{Name: "VENDOR", Value: func(m sprout.Model) string { return m.Vendor }},
			{Name: "MACHINES", Value: func(m sprout.Model) string { return fmt.Sprint(m.Machines) }},
			{Name: "MEMORY", Value: func(m sprout.Model) string { return size(m.MemoryBytes) }},
			{Name: "DISKS", Value: func(m sprout.Model) string { return size(m.DiskBytes) }},
			{Name: "LIMITS SET", Value: func(m sprout.Model) string { return limitsSet(m.Limits) }},
		},
	})
}

func limitsSet(limits []sprout.ModelLimit) string {
	var all []string
	for _, l := range limits {
		all = append(all, l.Step+" "+brief(time.Duration(l.Seconds)*time.Second))
	}
	return strings.Join(all, ", ")
}

func modelShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show MODEL", Short: api.ModelShow.Help, Args: takes(1, 1, "the name of a model"), Example: `  sprout model show "PowerEdge R740"`,
		RunE: func(c *cobra.Command, args []string) error {
			m, err := call(c.Context(), e, api.ModelShow, api.ModelRef{Model: args[0]})
			if err != nil {
				return err
			}
			return e.answer(m, func() { e.showModel(m) })
		},
	}
}

func (e *env) showModel(m api.ModelReport) {
	writeLines(e.stdout, []line{
		{"Vendor", m.Vendor}, {"Model", m.Name}, {"Machines", fmt.Sprint(m.Machines)},
		{"Memory", size(m.MemoryBytes) + " at most"}, {"Disks", size(m.DiskBytes) + " at most"},
	})
	fmt.Fprintln(e.stdout)
	writeTable(e, m.Steps, []column[api.ModelStep]{
		{Name: "WORKFLOW", Value: func(s api.ModelStep) string { return s.Workflow }},
		{Name: "STEP", Value: func(s api.ModelStep) string { return s.Step }},
		{Name: "RUNS", Value: func(s api.ModelStep) string { return fmt.Sprint(s.Runs) }},
		{Name: "P50", Value: func(s api.ModelStep) string { return orDash(s.P50) }},
		{Name: "P95", Value: func(s api.ModelStep) string { return orDash(s.P95) }},
		{Name: "LIMIT", Value: func(s api.ModelStep) string { return brief(s.Duration()) }},
		{Name: "WHY", Value: func(s api.ModelStep) string { return s.Why }},
	})
}

func orDash(s float64) string {
	if s == 0 {
		return "-"
	}
	return seconds(s)
}

// brief writes a time without its zeroes: 25m, 1h30m, 45s.
func brief(d time.Duration) string {
	text := d.Round(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func modelSetCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "set MODEL STEP=TIME…", Short: api.ModelSet.Help, Args: takes(2, -1, "the name of a model, and steps with how long each may take"),
		Long: "Set how long steps may take on a model, in place of what Sprout works out from the size of a machine and from past runs.\n" +
			"TIME is as 25m or 1h30m; default gives the step back to Sprout. Work that runs keeps the limits that it was started with.",
		Example: "  sprout model set \"ProLiant DL380 Gen10\" boot-ramdisk=25m phone-home=40m\n  sprout model set \"ProLiant DL380 Gen10\" boot-ramdisk=default",
		RunE: func(c *cobra.Command, args []string) error {
			var in api.SetModel
			in.Model, in.Body.Limits = args[0], map[string]int64{}
			for _, word := range args[1:] {
				step, limit, err := stepLimit(word)
				if err != nil {
					return err
				}
				in.Body.Limits[step] = limit
			}
			m, err := call(c.Context(), e, api.ModelSet, in)
			if err != nil {
				return err
			}
			set := limitsSet(m.Limits)
			if set == "" {
				set = "nothing"
			}
			return e.say(m, "set for %s: %s", m.Model, set)
		},
	}
}

// stepLimit reads STEP=TIME in seconds, 0 for default.
func stepLimit(word string) (step string, seconds int64, err error) {
	step, text, ok := strings.Cut(word, "=")
	if ok && text == "default" {
		return step, 0, nil
	}
	d, err := time.ParseDuration(text)
	if !ok || err != nil || d < time.Second {
		return "", 0, sprout.InvalidField("STEP=TIME", "%q must be a step and how long it may take, as boot-ramdisk=25m, or boot-ramdisk=default", word)
	}
	return step, int64(d / time.Second), nil
}
