package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func machineCommand(e *env) *cobra.Command {
	return group("machine", "Servers, from their first boot to retirement.",
		machineListCommand(e), machineShowCommand(e), machineCreateCommand(e), machineImportCommand(e), machineUpdateCommand(e),
		machineDeleteCommand(e),
		machineAcceptCommand(e), machineCommissionCommand(e), machineAllocateCommand(e), machineDeployCommand(e), machineReleaseCommand(e), machineRescueCommand(e), machineUnrescueCommand(e),
		machineMarkCommand(e, "mark-broken", "fan fails", api.MachineMarkBroken), machineMarkCommand(e, "mark-fixed", "fan replaced", api.MachineMarkFixed),
		machineRetireCommand(e),
		machineLabelCommand(e), machineFlagCommand(e, "lock", api.MachineLock), machineFlagCommand(e, "unlock", api.MachineUnlock),
		machineHistoryCommand(e), machineExplainCommand(e), machineConsoleCommand(e), machineWaitCommand(e), machineNetworkCommand(e), machineHardwareCommand(e))
}

func machineRef(ref string) api.MachineRef { return api.MachineRef{Machine: ref} }

func machineListCommand(e *env) *cobra.Command {
	var in api.ListMachines
	c := listCommand(e, api.MachineList, &in, listing[sprout.Machine]{
		Example: "  sprout machine list\n  sprout machine list --site lon1 --state ready,allocated --sort name -o wide\n" +
			"  sprout machine list -l rack=r1,env!=prod --problem any\n  sprout machine list --watch",
		None: "no machines: power one on in a network that discovers, or sprout machine create", Columns: machineColumns(),
		Watch: &watching[sprout.Machine]{
			In: func() api.WatchEvents {
				return api.WatchEvents{OfSite: api.OfSite{Site: in.Site}, Noun: []sprout.Noun{sprout.NounMachine}}
			},
			ID:   func(m sprout.Machine) string { return string(m.ID) },
			Keep: func(m sprout.Machine) bool { return in.Meets(m) },
		},
	})
	addMatch(c, &in.MachineMatch)
	return c
}

func machineColumns() []column[sprout.Machine] {
	return []column[sprout.Machine]{
		{Name: "NAME", Value: func(m sprout.Machine) string { return m.Name }},
		{Name: "SITE", Value: func(m sprout.Machine) string { return m.SiteName }},
		{Name: "STATE", Value: func(m sprout.Machine) string { return string(m.State) }},
		{Name: "DOING", Value: doing},
		{Name: "POWER", Value: func(m sprout.Machine) string { return string(m.Power) }},
		{Name: "ADDRESS", Value: machineAddresses},
		{Name: "OWNER", Value: func(m sprout.Machine) string { return m.Owner }},
		{Name: "PROBLEM", Value: firstProblem},
		{Name: "ARCH", Value: func(m sprout.Machine) string { return string(m.Architecture) }, Wide: true},
		{Name: "BOOT", Value: func(m sprout.Machine) string { return string(m.BootMode) }, Wide: true},
		{Name: "CORES", Value: cores, Wide: true},
		{Name: "MEMORY", Value: func(m sprout.Machine) string {
			if m.Inventory == nil {
				return ""
			}
			return memory(m.Inventory.MemoryBytes)
		}, Wide: true},
		{Name: "IMAGE", Value: func(m sprout.Machine) string { return m.Image }, Wide: true},
		{Name: "LABELS", Value: func(m sprout.Machine) string { return m.Labels.String() }, Wide: true},
		{Name: "TAGS", Value: func(m sprout.Machine) string { return strings.Join(m.Tags, ",") }, Wide: true},
		{Name: "ID", Value: func(m sprout.Machine) string { return string(m.ID) }, Wide: true},
	}
}

// doing says what a machine is doing now: "deploying: write-image 43 %".
func doing(m sprout.Machine) string {
	a := m.Activity
	if a == nil {
		return ""
	}
	text := a.Kind + ": " + a.Step
	if a.Percent > 0 {
		text += fmt.Sprintf(" %d %%", a.Percent)
	}
	return text
}

// reason is what a machine's work waits for.
func reason(m sprout.Machine) string {
	if m.Activity == nil {
		return ""
	}
	return m.Activity.Reason
}

func machineAddresses(m sprout.Machine) string {
	var all []string
	for _, a := range m.Addresses {
		all = append(all, a.IP.String())
	}
	return strings.Join(all, ",")
}

func firstProblem(m sprout.Machine) string {
	if len(m.Problems) == 0 {
		return ""
	}
	return string(m.Problems[0].Code)
}

func cores(m sprout.Machine) string {
	if m.Inventory == nil {
		return ""
	}
	return strconv.Itoa(m.Inventory.CPU.Cores)
}

func machineShowCommand(e *env) *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use: "show MACHINE", Short: api.MachineShow.Help, Args: takes(1, 1, "the name of a machine"),
		Example: "  sprout machine show web-01\n  sprout machine show web-01 --jq '.inventory.disks[].serial'",
		RunE: func(c *cobra.Command, args []string) error {
			m, err := call(c.Context(), e, api.MachineShow, machineRef(args[0]))
			if err != nil {
				return err
			}
			if watch {
				return follow(c.Context(), e, followed[sprout.Machine]{
					In: api.WatchEvents{Subject: string(m.ID)}, ID: func(m sprout.Machine) string { return string(m.ID) },
					Show: (*env).showMachine, None: m.Name + " is deleted",
					Load: loadOne(func(ctx context.Context) (sprout.Machine, error) {
						return call(ctx, e, api.MachineShow, machineRef(string(m.ID)))
					}),
				})
			}
			return e.answer(m, func() { e.showMachine(m) })
		},
	}
	watchFlag(c, &watch)
	return c
}

func machineHistoryCommand(e *env) *cobra.Command {
	var in api.ListOfMachine
	return listOf(e, api.MachineHistory, &in, listing[api.HistoryEntry]{
		Example: "  sprout machine history web-01", None: "no moves yet",
		Columns: []column[api.HistoryEntry]{
			{Name: "AT", Value: func(h api.HistoryEntry) string { return moment(h.At) }},
			{Name: "EVENT", Value: func(h api.HistoryEntry) string { return h.Event }},
			{Name: "FROM", Value: func(h api.HistoryEntry) string { return string(h.From) }},
			{Name: "TO", Value: func(h api.HistoryEntry) string { return string(h.To) }},
			{Name: "ACTOR", Value: func(h api.HistoryEntry) string { return h.Actor }},
			{Name: "DETAIL", Value: func(h api.HistoryEntry) string { return h.Detail }},
		},
	}, "history MACHINE", 1, "the name of a machine", func(args []string) { in.Machine = args[0] })
}
