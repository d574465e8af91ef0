package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func testFleetCommand(e *env) *cobra.Command {
	var in api.TestFleetOf
	c := listOf(e, api.TestFleet, &in, listing[sprout.TestFleet]{
		Example: "  sprout test fleet disk-speed\n  sprout test fleet disk-speed --model SAMSUNG --site lon1\n  sprout test fleet disk-read --jq '.[].outliers[].machineName'",
		None:    "no device whose model is known has passed it: sprout machine commission MACHINE --test TEST",
		Columns: []column[sprout.TestFleet]{
			{Name: "MODEL", Value: func(f sprout.TestFleet) string { return f.Model }},
			{Name: "PARAMETERS", Value: func(f sprout.TestFleet) string { return dash(told(f.Parameters)) }},
			{Name: "FIGURE", Value: func(f sprout.TestFleet) string { return f.Figure }},
			{Name: "UNIT", Value: func(f sprout.TestFleet) string { return f.Unit }},
			{Name: "DEVICES", Value: func(f sprout.TestFleet) string { return fmt.Sprint(f.Devices) }},
			{Name: "LEAST", Value: func(f sprout.TestFleet) string { return fmt.Sprintf("%.4g", f.Least) }},
			{Name: "MEDIAN", Value: func(f sprout.TestFleet) string { return fmt.Sprintf("%.4g", f.Median) }},
			{Name: "DEVIATION", Value: func(f sprout.TestFleet) string { return fmt.Sprintf("%.4g", f.Deviation) }},
			{Name: "MOST", Value: func(f sprout.TestFleet) string { return fmt.Sprintf("%.4g", f.Most) }},
			{Name: "OUTLIERS", Value: fleetOutliers},
		},
	}, "fleet TEST", 1, "the name of a test", func(args []string) { in.Test = args[0] })
	c.Flags().StringVar(&in.Site, "site", "", "only of machines of this site")
	c.Flags().StringVar(&in.Model, "model", "", "only devices whose model has this in its name")
	return c
}

// told is what a test was told, in words.
func told(parameters map[string]string) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		words = append(words, name+"="+parameters[name])
	}
	return strings.Join(words, " ")
}

func fleetOutliers(f sprout.TestFleet) string {
	var words []string
	for _, o := range f.Outliers {
		words = append(words, fmt.Sprintf("%s %s: %.4g", o.MachineName, o.Device, o.Value))
	}
	return dash(strings.Join(words, ", "))
}

// showOutliers writes what of a machine is far worse than its sisters.
func (e *env) showOutliers(list []sprout.Outlier) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(e.stdout, "\nFar worse than their sisters")
	writeTable(e, list, []column[sprout.Outlier]{
		{Name: "  DEVICE", Value: func(o sprout.Outlier) string { return "  " + o.Device }},
		{Name: "SERIAL", Value: func(o sprout.Outlier) string { return dash(o.Serial) }},
		{Name: "MODEL", Value: func(o sprout.Outlier) string { return o.Model }},
		{Name: "TEST", Value: func(o sprout.Outlier) string { return o.Test }},
		{Name: "FIGURE", Value: func(o sprout.Outlier) string {
			return figure(sprout.Metric{Name: o.Figure, Value: o.Value, Unit: o.Unit})
		}},
		{Name: "MEDIAN", Value: func(o sprout.Outlier) string {
			return fmt.Sprintf("%.4g of %s", o.Median, suffixed(o.Sisters, "sisters", "sister"))
		}},
		{Name: "WORSE", Value: func(o sprout.Outlier) string { return fmt.Sprintf("%.0f %%", o.Percent) }},
		{Name: "ACCEPTED", Value: func(o sprout.Outlier) string { return yesNo(o.Accepted != nil) }},
	})
}
