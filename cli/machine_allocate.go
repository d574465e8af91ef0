package cli

import (
	"github.com/spf13/cobra"

	"sprout/api"
)

func machineAllocateCommand(e *env) *cobra.Command {
	var in api.AllocateMachine
	var words constraintWords
	c := &cobra.Command{
		Use: "allocate [MACHINE]", Short: api.MachineAllocate.Help, Args: takes(0, 1, "at most the name of one machine"),
		Long: "Choose a ready machine that meets constraints, the smallest that does, and give it to an owner. Where none fits, it says how\n" +
			"many machines each constraint removed, and which came nearest. For several at once, for a time, or to wait for one:\n" +
			"sprout allocation create.",
		Example: "  sprout machine allocate --site lon1 --cores 8 --memory 32GiB --tag ssd\n  sprout machine allocate web-01 --owner shop\n" +
			"  sprout machine allocate --has-disks count=2,bus=nvme,min=1TB --nics 2 --nic-speed 25000 --network storage\n" +
			"  sprout machine allocate --model 'PowerEdge R750' --has-pci vendor=10de,count=4 --not-tag reserved",
		RunE: func(c *cobra.Command, args []string) error {
			if err := words.read(&in.Body.Constraints); err != nil {
				return err
			}
			if len(args) == 1 {
				in.Body.Name = args[0]
			}
			m, err := call(c.Context(), e, api.MachineAllocate, in)
			if err != nil {
				return err
			}
			return e.say(m, "machine %s of %s is allocated to %s", m.Name, m.SiteName, m.Owner)
		},
	}
	words.add(c, &in.Body.Constraints)
	c.Flags().StringVar(&in.Body.Owner, "owner", "", "whom it is for (default the token's name)")
	return c
}
