package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

// machineLabelCommand sets labels of machines, and takes them away.
func machineLabelCommand(e *env) *cobra.Command {
	a := &machineAction{env: e}
	c := &cobra.Command{
		Use: "label [MACHINE…] KEY=VALUE… KEY-…", Short: "Set labels of machines, or take them away.", Args: takes(1, -1, "machines, and labels as rack=r1 or, to take one away, rack-"),
		Example: "  sprout machine label web-01 rack=r1 env-\n  sprout machine label -l rack=r1 env=prod --yes",
		RunE: func(c *cobra.Command, args []string) error {
			machines, change := labelWords(args)
			if len(change) == 0 {
				return usage(c, "%s needs a label as rack=r1 or, to take one away, rack-", c.CommandPath())
			}
			a.in.Body.Action, a.in.Body.Update = "update", &api.MachineUpdates{Labels: change}
			a.one = func(ctx context.Context, ref string) (*sprout.Workflow, error) {
				in := api.UpdateMachine{MachineRef: machineRef(ref)}
				in.Body.Labels = change
				m, err := call(ctx, e, api.MachineUpdate, in)
				if err != nil {
					return nil, err
				}
				return nil, e.say(m, "labels of %s: %s", m.Name, dash(m.Labels.String()))
			}
			return a.run(c, machines)
		},
	}
	a.add(c)
	return c
}

// labelWords tells the names of machines from labels: no name has an equals
// sign in it or a hyphen at its end.
func labelWords(args []string) (machines []string, change api.LabelChange) {
	for _, word := range args {
		if key, value, ok := strings.Cut(word, "="); ok {
			change = setLabel(change, key, &value)
		} else if key, ok := strings.CutSuffix(word, "-"); ok {
			change = setLabel(change, key, nil)
		} else {
			machines = append(machines, word)
		}
	}
	return machines, change
}

func setLabel(change api.LabelChange, key string, value *string) api.LabelChange {
	if change == nil {
		change = api.LabelChange{}
	}
	change[key] = value
	return change
}
