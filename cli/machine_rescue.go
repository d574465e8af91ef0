package cli

import (
	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func machineRescueCommand(e *env) *cobra.Command {
	var keys []string
	var wait bool
	c := &cobra.Command{
		Use: "rescue MACHINE…", Short: api.MachineRescue.Help, Args: takes(1, -1, "the names of machines"),
		Long: "Boot a deployed machine into memory, and let in by SSH whoever holds one of the keys. It is switched off first, without being\n" +
			"asked; nothing is written to its disks by Sprout. How to get in, with the fingerprint of the host key, is shown when it is in\n" +
			"rescue, and with the machine. One that restarts boots its disk. sprout machine unrescue boots the disk again.",
		Example: "  sprout machine rescue web-01 --ssh-key ~/.ssh/id_ed25519.pub --wait\n  sprout machine show web-01 --jq .shell.address",
		RunE: func(c *cobra.Command, args []string) error {
			if len(keys) == 0 {
				return usage(c, "%s needs --ssh-key: nobody else could get in", c.CommandPath()).WithRemedy("--ssh-key ~/.ssh/id_ed25519.pub")
			}
			read, err := readKeys(keys)
			if err != nil {
				return err
			}
			return e.start(c.Context(), args, wait, func(ref string) (sprout.Workflow, error) {
				in := api.RescueMachine{MachineRef: machineRef(ref)}
				in.Body.SSHKeys = read
				return call(c.Context(), e, api.MachineRescue, in)
			})
		},
	}
	c.Flags().StringArrayVar(&keys, "ssh-key", nil, "public key that may log in as root, or a file of them; may be repeated")
	c.Flags().BoolVar(&wait, "wait", false, "show each step until it has ended")
	return c
}

func machineUnrescueCommand(e *env) *cobra.Command {
	var wait bool
	c := &cobra.Command{
		Use: "unrescue MACHINE…", Short: api.MachineUnrescue.Help, Args: takes(1, -1, "the names of machines"),
		Example: "  sprout machine unrescue web-01 --wait",
		RunE: func(c *cobra.Command, args []string) error {
			return e.start(c.Context(), args, wait, func(ref string) (sprout.Workflow, error) {
				return call(c.Context(), e, api.MachineUnrescue, machineRef(ref))
			})
		},
	}
	c.Flags().BoolVar(&wait, "wait", false, "show each step until it has ended")
	return c
}
