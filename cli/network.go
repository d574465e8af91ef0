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
		networkCreateCommand(e), networkListCommand(e), networkShowCommand(e), networkUpdateCommand(e),
		deleteCommand(e, "network", "provisioning", api.NetworkDelete, func(ref string) api.NetworkRef { return api.NetworkRef{Network: ref} }, e.networkLoss))
}

func networkCreateCommand(e *env) *cobra.Command {
	var in api.CreateNetwork
	var flags subnetFlags
	c := &cobra.Command{
		Use: "create NAME", Short: api.NetworkCreate.Help, Args: takes(1, 1, "the name of the network"),
		Example: "  sprout network create provisioning --site lon1 --cidr 10.20.0.0/24 --gateway 10.20.0.1 \\\n" +
			"      --dynamic 10.20.0.100-10.20.0.199 --reserved 10.20.0.1-10.20.0.9 --discover",
		RunE: func(c *cobra.Command, args []string) error {
			in.Body.Name, in.Body.MTU = args[0], flags.mtu
			if err := flags.fill(&in.Body.NewSubnet); err != nil {
				return err
			}
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
	flags.add(f)
	f.Lookup("mtu").Usage = "largest packet in bytes (default 1500)"
	f.StringVar(&in.Body.Site, "site", "", "site of the network")
	f.StringSliceVar(&in.Body.Dynamic, "dynamic", nil, "range FIRST-LAST for leases; may be repeated")
	f.StringSliceVar(&in.Body.Reserved, "reserved", nil, "range FIRST-LAST that is never given out; may be repeated")
	f.IntVar(&in.Body.VLAN, "vlan", 0, "VLAN id; 0: untagged")
	f.StringVar(&in.Body.VRF, "vrf", "", "routing table that it is in: prefixes of two may overlap (default the site's usual one)")
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
			{Name: "VRF", Value: func(n sprout.Network) string { return n.VRF }},
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

func (e *env) showNetwork(n api.NetworkReport) {
	writeLines(e.stdout, []line{{"Name", n.Name}, {"Site", n.SiteName}, {"VLAN", vlan(n.Network)}, {"VRF", n.VRF}, {"MTU", strconv.Itoa(n.MTU)}, {"Id", string(n.ID)}})
	for i, s := range n.Subnets {
		fmt.Fprintln(e.stdout)
		e.showSubnet(s, n.Usage[i])
	}
}

func networkUpdateCommand(e *env) *cobra.Command {
	var name, vrf string
	var vlan, mtu int
	c := &cobra.Command{
		Use: "update NETWORK", Short: api.NetworkUpdate.Help, Args: takes(1, 1, "the name of a network"),
		Example: "  sprout network update provisioning --mtu 9000",
		RunE: func(c *cobra.Command, args []string) error {
			in, any := api.UpdateNetwork{NetworkRef: api.NetworkRef{Network: args[0]}}, false
			for flag, set := range map[string]func(){
				"name": func() { in.Body.Name = &name }, "vlan": func() { in.Body.VLAN = &vlan },
				"vrf": func() { in.Body.VRF = &vrf }, "mtu": func() { in.Body.MTU = &mtu },
			} {
				if c.Flags().Changed(flag) {
					set()
					any = true
				}
			}
			if !any {
				return usage(c, "%s needs something to change", c.CommandPath())
			}
			n, err := call(c.Context(), e, api.NetworkUpdate, in)
			if err != nil {
				return err
			}
			return e.say(n, "network %s is changed", n.Name)
		},
	}
	f := c.Flags()
	f.StringVar(&name, "name", "", "new name")
	f.IntVar(&vlan, "vlan", 0, "VLAN id; 0: untagged")
	f.StringVar(&vrf, "vrf", "", "another routing table, while no address is in use")
	f.IntVar(&mtu, "mtu", 0, "largest packet in bytes")
	return c
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
