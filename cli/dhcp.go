package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func dhcpCommand(e *env) *cobra.Command {
	lease := group("lease", "DHCP leases that agents gave.", leaseListCommand(e, "sprout dhcp lease list"))
	return group("dhcp", "What agents answer machines that ask for an address.", dhcpExplainCommand(e), dhcpOptionCommand(e), lease)
}

func dhcpExplainCommand(e *env) *cobra.Command {
	var in api.ExplainDHCP
	c := &cobra.Command{
		Use: "explain", Short: api.DHCPExplain.Help, Args: takes(0, 0, "nothing"),
		Long: "Say what a site's DHCP server would answer a machine, and why: the address, where the answer goes, and each option with what it\n" +
			"comes from. The machine is taken to ask as its firmware does; without --arch as an operating system that wants every option.",
		Example: "  sprout dhcp explain --site lon1 --mac 52:54:00:12:34:56 --arch uefi\n  sprout dhcp explain --site lon1 --mac 52:54:00:12:34:56 --subnet 10.20.1.0/24\n" +
			"  sprout dhcp explain --site lon1 --mac 52:54:00:12:34:56 --ipv6",
		RunE: func(c *cobra.Command, _ []string) error {
			if in.Site == "" || in.MAC == "" {
				return usage(c, "%s needs --site and --mac", c.CommandPath())
			}
			x, err := call(c.Context(), e, api.DHCPExplain, in)
			if err != nil {
				return err
			}
			return e.answer(x, func() { e.showDHCP(x) })
		},
	}
	f := c.Flags()
	f.StringVar(&in.Site, "site", "", "site whose agent is asked")
	f.StringVar(&in.MAC, "mac", "", "MAC address of the machine")
	f.BoolVar(&in.IPv6, "ipv6", false, "explain DHCPv6")
	f.StringVar(&in.Subnet, "subnet", "", "subnet that it asks from, by prefix or id (default the agent's own)")
	f.StringVar(&in.Arch, "arch", "", "who asks: bios, uefi, http, ipxe, or the number of an architecture (default an operating system)")
	return c
}

func (e *env) showDHCP(x sprout.DHCPExplanation) {
	fmt.Fprintln(e.stdout, x.Reason+".")
	if len(x.Options) == 0 {
		return
	}
	lines := []line{{"Sent to", x.To}}
	if x.IP.IsValid() { // a proxy gives none
		lines = []line{{"Address", x.IP.String()}, {"Subnet", x.Subnet.String()}, {"Sent to", x.To}}
	}
	if x.BootFile != "" {
		lines = append(lines, line{"Boot file", x.BootFile})
	}
	writeLines(e.stdout, lines)
	fmt.Fprintln(e.stdout)
	e.showDHCPOptions(x.Options)
	if len(x.Omitted) > 0 {
		fmt.Fprintln(e.stdout, "\nSet, but the answer has no room for it:")
		e.showDHCPOptions(x.Omitted)
	}
}

func (e *env) showDHCPOptions(list []sprout.DHCPOption) {
	for _, o := range list {
		from := o.From
		if o.Setting != "" {
			from += " (" + string(o.Setting) + ")"
		}
		fmt.Fprintf(e.stdout, "  %3d  %-28s %-32s from %s\n", o.Code, o.Name, o.Value, from)
	}
}
