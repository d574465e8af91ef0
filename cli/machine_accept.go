package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

// machineAcceptCommand takes a discovered machine in, and says in the same
// breath what it is called and how it is powered.
func machineAcceptCommand(e *env) *cobra.Command {
	a := &machineAction{env: e}
	var name string
	var labels map[string]string
	var bmc bmcFlags
	c := &cobra.Command{
		Use: "accept [MACHINE…]", Short: api.MachineAccept.Help, Args: takes(0, -1, machinesOrSelection),
		Example: "  sprout machine accept new-525400123456 --name web-01 --bmc-url https://10.0.0.5 --bmc-user admin --bmc-password -\n" +
			"  sprout machine accept new-525400123456 --name web-01 --bmc-file bmc.yaml\n" +
			"  sprout machine accept --site lon1 --state discovered --yes",
		RunE: func(c *cobra.Command, args []string) error {
			a.in.Body.Action = "accept"
			a.one = func(ctx context.Context, ref string) (*sprout.Workflow, error) {
				return nil, e.accept(ctx, c, ref, name, labels, bmc)
			}
			if own := ofOneOnly(c, "name", "label"); own != "" && len(args) != 1 {
				return usage(c, "--%s is of one machine: name it", own)
			}
			return a.run(c, args)
		},
	}
	c.Flags().StringVar(&name, "name", "", "name it from now on")
	c.Flags().StringToStringVar(&labels, "label", nil, "label KEY=VALUE; may be repeated")
	bmc.add(c)
	a.add(c)
	return c
}

func (e *env) accept(ctx context.Context, c *cobra.Command, ref, name string, labels map[string]string, bmc bmcFlags) error {
	m, err := call(ctx, e, api.MachineShow, machineRef(ref))
	if err != nil {
		return err
	}
	change := api.UpdateMachine{MachineRef: machineRef(string(m.ID))}
	set(name != "", &change.Body.Name, name)
	for key, value := range labels {
		change.Body.Labels = setLabel(change.Body.Labels, key, &value)
	}
	if change.Body.BMC, err = bmc.bmc(e, c, m.BMC); err != nil {
		return err
	}
	if change.Body.Name != nil || change.Body.Labels != nil || change.Body.BMC != nil {
		if _, err := call(ctx, e, api.MachineUpdate, change); err != nil {
			return err
		}
	}
	if m, err = call(ctx, e, api.MachineAccept, change.MachineRef); err != nil {
		return err
	}
	return e.say(m, "machine %s is %s", m.Name, m.State)
}

// machineWaitCommand waits for machines as scripts need it.
func machineWaitCommand(e *env) *cobra.Command {
	var in api.ListMachines
	var state string
	var count int
	var within time.Duration
	c := &cobra.Command{
		Use: "wait", Short: "Wait until so many machines are in a state.", Args: takes(0, 0, "no arguments"),
		Example: "  sprout machine wait --site lon1 --state discovered --count 4 --timeout 10m",
		RunE: func(c *cobra.Command, _ []string) error {
			if state == "" {
				return usage(c, "%s needs --state", c.CommandPath())
			}
			in.State = []sprout.State{sprout.State(state)}
			return e.awaitMachines(c.Context(), in, count, within)
		},
	}
	f := c.Flags()
	f.StringVar(&state, "state", "", "the state to wait for: "+strings.Join(machineStates(), ", "))
	addMatch(c, &in.MachineMatch)
	f.IntVar(&count, "count", 1, "how many")
	f.DurationVar(&within, "timeout", 10*time.Minute, "give up after this long")
	return c
}

func (e *env) awaitMachines(ctx context.Context, in api.ListMachines, count int, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		machines, err := gather(ctx, e, api.MachineList, in, 0)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err == nil && len(machines) >= count {
			var names []string
			for _, m := range machines {
				names = append(names, m.Name)
			}
			return e.say(machines, "%s: %s", in.State[0], strings.Join(names, ", "))
		}
		select {
		case <-ctx.Done():
			return sprout.Errorf(sprout.Unavailable, "%s", fmt.Sprintf("only %d of %d machines are %s after %s", len(machines), count, in.State[0], within)).
				WithRemedy("sprout machine list; sprout problem list")
		case <-tick.C:
		}
	}
}
