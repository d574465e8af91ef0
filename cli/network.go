package cli

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func networkCommand(e *env) *cobra.Command {
	return group("network", "Layer-2 segments of a site with their subnets.",
		networkCreateCommand(e), networkListCommand(e), networkShowCommand(e),
		deleteCommand(e, "network", "provisioning", api.NetworkDelete, func(ref string) api.NetworkRef { return api.NetworkRef{Network: ref} }, e.networkLoss))
}

func networkCreateCommand(e *env) *cobra.Command {
	var in api.CreateNetwork
	c := &cobra.Command{
		Use: "create NAME", Short: api.NetworkCreate.Help, Args: takes(1, 1, "the name of the network"),
		Example: "  sprout network create provisioning --site lon1 --cidr 10.20.0.0/24 --gateway 10.20.0.1 \\\n" +
			"      --dynamic 10.20.0.100-10.20.0.199 --reserved 10.20.0.1-10.20.0.9 --discover",
		RunE: func(c *cobra.Command, args []string) error {
			in.Body.Name = args[0]
			if in.Body.Site == "" || in.Body.CIDR == "" {
				return usage(c, "%s needs --site and --cidr", c.CommandPath())
			}
			n, err := call(c.Context(), e, api.NetworkCreate, in)
			if err != nil {
				return err
			}
			return e.say(n, "network %s is created in %s: %s", n.Name, n.SiteName, in.Body.CIDR)
		},
	}
	f := c.Flags()
	f.StringVar(&in.Body.Site, "site", "", "site of the network")
	f.StringVar(&in.Body.CIDR, "cidr", "", "prefix of its subnet, as 10.20.0.0/24")
	f.StringVar(&in.Body.Gateway, "gateway", "", "address of the router")
	f.StringSliceVar(&in.Body.Dynamic, "dynamic", nil, "range FIRST-LAST for leases; may be repeated")
	f.StringSliceVar(&in.Body.Reserved, "reserved", nil, "range FIRST-LAST that is never given out; may be repeated")
	f.StringSliceVar(&in.Body.DNS, "dns", nil, "name servers (default the site's agent)")
	f.StringSliceVar(&in.Body.NTP, "ntp", nil, "time servers")
	f.BoolVar(&in.Body.Discover, "discover", false, "unknown machines may boot the ramdisk here")
	f.IntVar(&in.Body.MTU, "mtu", 0, "largest packet in bytes (default 1500)")
	f.IntVar(&in.Body.VLAN, "vlan", 0, "VLAN id; 0: untagged")
	return c
}

func networkListCommand(e *env) *cobra.Command {
	var in api.ListNetworks
	c := listCommand(e, api.NetworkList, &in, listing[sprout.Network]{
		Example: "  sprout network list --site lon1", None: "no networks: sprout network create NAME --site SITE --cidr PREFIX",
		Columns: []column[sprout.Network]{
			{Name: "NAME", Value: func(n sprout.Network) string { return n.Name }},
			{Name: "SITE", Value: func(n sprout.Network) string { return n.SiteName }},
			{Name: "SUBNETS", Value: subnets},
			{Name: "VLAN", Value: vlan},
			{Name: "DISCOVER", Value: func(n sprout.Network) string { return yesNo(discovers(n)) }},
			{Name: "MTU", Value: func(n sprout.Network) string { return strconv.Itoa(n.MTU) }, Wide: true},
			{Name: "ID", Value: func(n sprout.Network) string { return string(n.ID) }, Wide: true},
		},
	})
	c.Flags().StringVar(&in.Site, "site", "", "only of this site")
	return c
}

func networkShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show NETWORK", Short: api.NetworkShow.Help, Args: takes(1, 1, "the name of a network"), Example: "  sprout network show provisioning",
		RunE: func(c *cobra.Command, args []string) error {
			n, err := call(c.Context(), e, api.NetworkShow, api.NetworkRef{Network: args[0]})
			if err != nil {
				return err
			}
			return e.answer(n, func() { e.showNetwork(n) })
		},
	}
}

func (e *env) showNetwork(n sprout.Network) {
	writeLines(e.stdout, []line{{"Name", n.Name}, {"Site", n.SiteName}, {"VLAN", vlan(n)}, {"MTU", strconv.Itoa(n.MTU)}, {"Id", string(n.ID)}})
	for _, s := range n.Subnets {
		fmt.Fprintf(e.stdout, "\nSubnet %s\n", s.CIDR)
		lines := []line{{"  Gateway", address(s.Gateway)}, {"  DNS", addresses(s.DNS)}, {"  NTP", addresses(s.NTP)}, {"  Discover", yesNo(s.Discover)}}
		for _, r := range s.Ranges {
			lines = append(lines, line{"  " + string(r.Kind), fmt.Sprintf("%s-%s", r.First, r.Last)})
		}
		writeLines(e.stdout, lines)
	}
}

func subnets(n sprout.Network) string {
	var all []string
	for _, s := range n.Subnets {
		all = append(all, s.CIDR.String())
	}
	return strings.Join(all, ", ")
}

func vlan(n sprout.Network) string {
	if n.VLAN == 0 {
		return "untagged"
	}
	return strconv.Itoa(n.VLAN)
}

func discovers(n sprout.Network) bool {
	for _, s := range n.Subnets {
		if s.Discover {
			return true
		}
	}
	return false
}

func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func addresses(list []netip.Addr) string {
	var all []string
	for _, a := range list {
		all = append(all, a.String())
	}
	return strings.Join(all, ", ")
}
