package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func machineHardwareCommand(e *env) *cobra.Command {
	return group("hardware", "What a machine has, beside what it is expected to have.", machineHardwareShowCommand(e), machineHardwareAcceptCommand(e))
}

func machineHardwareShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show MACHINE", Short: api.MachineHardwareShow.Help, Args: takes(1, 1, "the name of a machine"),
		Long: "Show in what a machine's hardware, as it was found last, differs from what it is expected to have: what was found before, when\n" +
			"nothing was wrong with it. A part that is gone is a critical problem, and the machine is offered to nobody; anything else is a\n" +
			"warning. A part that comes back ends it at the next commissioning; sprout machine hardware accept ends it now. What passed its tests and\n" +
			"is far worse than its sisters in other machines is shown too, and is critical until it is better or accepted.",
		Example: "  sprout machine hardware show web-01\n  sprout machine hardware show web-01 --jq '.found.neighbours'",
		RunE: func(c *cobra.Command, args []string) error {
			h, err := call(c.Context(), e, api.MachineHardwareShow, machineRef(args[0]))
			if err != nil {
				return err
			}
			return e.answer(h, func() { e.showHardware(h) })
		},
	}
}

func (e *env) showHardware(h api.Hardware) {
	switch {
	case h.Found == nil:
		fmt.Fprintln(e.stdout, "not known yet: sprout machine commission looks at it")
	case len(h.Differences) == 0 && len(h.Outliers) > 0:
		fmt.Fprintf(e.stdout, "all parts are there, as when they were looked at %s\n", moment(h.Found.At))
	case len(h.Differences) == 0:
		fmt.Fprintf(e.stdout, "as expected, when it was looked at %s\n", moment(h.Found.At))
	default:
		writeTable(e, h.Differences, []column[sprout.Difference]{
			{Name: "PART", Value: func(d sprout.Difference) string { return d.Part }},
			{Name: "NAME", Value: func(d sprout.Difference) string { return dash(d.Name) }},
			{Name: "WHAT", Value: func(d sprout.Difference) string { return string(d.What) }},
			{Name: "WAS", Value: func(d sprout.Difference) string { return dash(d.Was) }},
			{Name: "IS", Value: func(d sprout.Difference) string { return dash(d.Is) }},
		})
	}
	e.showOutliers(h.Outliers)
	if h.Found == nil || len(h.Found.Neighbours) == 0 {
		return
	}
	fmt.Fprintln(e.stdout, "\nCables")
	writeTable(e, h.Found.Neighbours, []column[sprout.Neighbour]{
		{Name: "  PORT", Value: func(n sprout.Neighbour) string { return "  " + portOf(h.Found, n.MAC) }},
		{Name: "LEADS TO", Value: sprout.Neighbour.String},
		{Name: "DESCRIPTION", Value: func(n sprout.Neighbour) string { return n.Description }},
	})
}

// portOf is the name of the port with the MAC.
func portOf(inv *sprout.Inventory, mac string) string {
	for _, f := range inv.Interfaces {
		if f.MAC == mac && f.Name != "" {
			return f.Name
		}
	}
	return mac
}

func machineHardwareAcceptCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "accept MACHINE", Short: api.MachineHardwareAccept.Help, Args: takes(1, 1, "the name of a machine"),
		Example: "  sprout machine hardware show web-01\n  sprout machine hardware accept web-01",
		RunE: func(c *cobra.Command, args []string) error {
			m, err := call(c.Context(), e, api.MachineHardwareAccept, machineRef(args[0]))
			if err != nil {
				return err
			}
			return e.say(m, "machine %s is expected to have what it has", m.Name)
		},
	}
}
