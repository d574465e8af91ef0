package cli

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sprout"
	"sprout/api"
)

func subnetCommand(e *env) *cobra.Command {
	return group("subnet", "IPv4 and IPv6 prefixes of networks.",
		subnetCreateCommand(e), subnetNextCommand(e), subnetListCommand(e), subnetShowCommand(e), subnetUpdateCommand(e),
		deleteCommand(e, "subnet", "10.20.1.0/24", api.SubnetDelete, func(ref string) api.SubnetRef { return api.SubnetRef{Subnet: ref} }, e.subnetLoss))
}

// subnetFlags are the flags that describe a subnet, but for its ranges.
type subnetFlags struct {
	cidr, gateway, domain, advertise, dhcp string
	dns, ntp, search, routes, servers      []string
	discover                               bool
	mtu                                    int
}

func (s *subnetFlags) add(f *pflag.FlagSet) {
	f.StringVar(&s.cidr, "cidr", "", "prefix, as 10.20.0.0/24")
	f.StringVar(&s.gateway, "gateway", "", "address of the router")
	f.StringSliceVar(&s.dns, "dns", nil, "name servers (default the site's agent)")
	f.StringSliceVar(&s.ntp, "ntp", nil, "time servers")
	f.StringVar(&s.domain, "domain", "", "domain of its hosts (default the site's)")
	f.StringSliceVar(&s.search, "search", nil, "domains that its hosts look names up in (default their own)")
	f.StringSliceVar(&s.routes, "route", nil, "static route, as 10.30.0.0/16=10.20.0.254 or …,metric after a colon: 10.30.0.0/16=10.20.0.254:100 (IPv6: [fd00::fe]:100); may be repeated")
	f.StringVar(&s.advertise, "advertise", "", "how IPv6 hosts get their addresses: none, slaac, stateless or managed")
	f.StringVar(&s.dhcp, "dhcp", "", "what the agent does: server gives addresses, proxy only says what to boot, beside another server, off answers nothing (default server)")
	f.StringSliceVar(&s.servers, "dhcp-server", nil, "another DHCP server that belongs here, by address or MAC address; may be repeated. Any more is the problem rogue-dhcp")
	f.BoolVar(&s.discover, "discover", false, "unknown machines may boot the ramdisk here")
	f.IntVar(&s.mtu, "mtu", 0, "largest packet in bytes (default the network's)")
}

// static reads the routes.
func (s *subnetFlags) static() ([]api.NewRoute, error) {
	list := []api.NewRoute{}
	for _, text := range s.routes {
		to, via, ok := strings.Cut(text, "=")
		r := api.NewRoute{To: to, Via: via}
		if at, err := netip.ParseAddrPort(via); err == nil {
			r.Via, r.Metric = at.Addr().String(), int(at.Port())
		}
		if !ok {
			return nil, sprout.InvalidField("--route", "%q is no route such as 10.30.0.0/16=10.20.0.254", text)
		}
		list = append(list, r)
	}
	return list, nil
}

// fill describes a subnet that is to be.
func (s *subnetFlags) fill(n *api.NewSubnet) (err error) {
	n.CIDR, n.Gateway, n.DNS, n.NTP, n.Domain, n.Search = s.cidr, s.gateway, s.dns, s.ntp, s.domain, s.search
	n.Advertise, n.Discover = sprout.Advertisement(s.advertise), s.discover
	n.DHCP, n.DHCPServers = sprout.DHCPMode(s.dhcp), s.servers
	n.Routes, err = s.static()
	return err
}

func subnetCreateCommand(e *env) *cobra.Command {
	var in api.CreateSubnet
	var flags subnetFlags
	c := &cobra.Command{
		Use: "create NETWORK", Short: api.SubnetCreate.Help, Args: takes(1, 1, "the name of the network"),
		Example: "  sprout subnet create provisioning --cidr fd00:20::/64 --gateway fd00:20::1 --advertise managed\n" +
			"  sprout subnet create provisioning --from 10.0.0.0/8 --prefix 26 --gateway first",
		RunE: func(c *cobra.Command, args []string) error {
			if (flags.cidr == "") == (in.Body.From == "") || (in.Body.From == "") != (in.Body.Prefix == 0) {
				return usage(c, "%s needs --cidr, or --from and --prefix", c.CommandPath())
			}
			in.Body.Network, in.Body.MTU = args[0], flags.mtu
			if err := flags.fill(&in.Body.NewSubnet); err != nil {
				return err
			}
			s, err := call(c.Context(), e, api.SubnetCreate, in)
			if err != nil {
				return err
			}
			return e.say(s, "subnet %s is created in %s: %s", s.CIDR, args[0], s.ID)
		},
	}
	flags.add(c.Flags())
	c.Flags().StringVar(&in.Body.From, "from", "", "in place of --cidr: prefix in which to find a free one; --gateway may be first or last then")
	c.Flags().IntVar(&in.Body.Prefix, "prefix", 0, "length of the prefix that it gets of --from: the lowest that is free")
	c.Flags().StringSliceVar(&in.Body.Dynamic, "dynamic", nil, "range FIRST-LAST for leases; may be repeated")
	c.Flags().StringSliceVar(&in.Body.Reserved, "reserved", nil, "range FIRST-LAST that is never given out; may be repeated")
	return c
}

func subnetNextCommand(e *env) *cobra.Command {
	var in api.NextSubnet
	c := &cobra.Command{
		Use: "next NETWORK", Short: api.SubnetNext.Help, Args: takes(1, 1, "the name of the network"),
		Example: "  sprout subnet next provisioning --from 10.0.0.0/8 --prefix 26\n  sprout subnet next provisioning --from fd00::/48 --prefix 64 --gateway first",
		RunE: func(c *cobra.Command, args []string) error {
			if in.From == "" || in.Prefix == 0 {
				return usage(c, "%s needs --from and --prefix", c.CommandPath())
			}
			in.Network = args[0]
			free, err := call(c.Context(), e, api.SubnetNext, in)
			if err != nil {
				return err
			}
			if free.Gateway.IsValid() {
				return e.say(free, "%s, gateway %s", free.CIDR, free.Gateway)
			}
			return e.say(free, "%s", free.CIDR)
		},
	}
	c.Flags().StringVar(&in.From, "from", "", "prefix in which to look, as 10.0.0.0/8")
	c.Flags().IntVar(&in.Prefix, "prefix", 0, "length of the prefix that is wanted, as 26")
	c.Flags().StringVar(&in.Gateway, "gateway", "", "show which address would be its gateway: first or last")
	return c
}

func subnetListCommand(e *env) *cobra.Command {
	var in api.ListSubnets
	c := listCommand(e, api.SubnetList, &in, listing[sprout.Subnet]{
		Example: "  sprout subnet list --site lon1", None: "no subnets: sprout subnet create NETWORK --cidr PREFIX",
		Columns: []column[sprout.Subnet]{
			{Name: "CIDR", Value: func(s sprout.Subnet) string { return s.CIDR.String() }},
			{Name: "VRF", Value: func(s sprout.Subnet) string { return s.VRF }},
			{Name: "GATEWAY", Value: func(s sprout.Subnet) string { return address(s.Gateway) }},
			{Name: "RANGES", Value: func(s sprout.Subnet) string { return fmt.Sprint(len(s.Ranges)) }},
			{Name: "DISCOVER", Value: func(s sprout.Subnet) string { return yesNo(s.Discover) }},
			{Name: "DNS", Value: func(s sprout.Subnet) string { return addresses(s.DNS) }, Wide: true},
			{Name: "MTU", Value: func(s sprout.Subnet) string { return fmt.Sprint(s.MTU) }, Wide: true},
			{Name: "ID", Value: func(s sprout.Subnet) string { return string(s.ID) }},
		},
	})
	c.Flags().StringVar(&in.Site, "site", "", "only of this site")
	c.Flags().StringVar(&in.Network, "network", "", "only of this network")
	return c
}

func subnetShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show SUBNET", Short: api.SubnetShow.Help, Args: takes(1, 1, "the prefix of a subnet"), Example: "  sprout subnet show 10.20.0.0/24",
		RunE: func(c *cobra.Command, args []string) error {
			s, err := call(c.Context(), e, api.SubnetShow, api.SubnetRef{Subnet: args[0]})
			if err != nil {
				return err
			}
			return e.answer(s, func() { e.showSubnet(s.Subnet, s.Usage) })
		},
	}
}

// showSubnet prints a subnet. What is not set is left out.
func (e *env) showSubnet(s sprout.Subnet, u sprout.Usage) {
	fmt.Fprintf(e.stdout, "Subnet %s\n", s.CIDR)
	lines := []line{
		{"  Gateway", address(s.Gateway)}, {"  DNS", addresses(s.DNS)}, {"  NTP", addresses(s.NTP)}, {"  Domain", s.Domain},
		{"  DHCP", string(s.DHCP)}, {"  DHCP servers", strings.Join(s.DHCPServers, ", ")}, {"  Search", strings.Join(s.Search, ", ")}, {"  Advertise", string(s.Advertise)}, {"  Discover", yesNo(s.Discover)}, {"  MTU", fmt.Sprint(s.MTU)},
	}
	for _, r := range s.Routes {
		lines = append(lines, line{"  Route", fmt.Sprintf("%s via %s", r.To, r.Via)})
	}
	for _, r := range u.Ranges {
		lines = append(lines, line{"  " + string(r.Kind), fmt.Sprintf("%s-%s, %d of %s used (%.1f %%)", r.First, r.Last, r.Used, count(r.Size), r.Percent)})
	}
	lines = append(lines, line{"  Used", fmt.Sprintf("%d of %s (%.1f %%): %d allocated, %d leased", u.Allocated+u.Leased, count(u.Size), u.Percent, u.Allocated, u.Leased)},
		line{"  Free", count(u.Free)}, line{"  Id", string(s.ID)})
	writeLines(e.stdout, lines)
	e.drawUsage(u)
}

func subnetUpdateCommand(e *env) *cobra.Command {
	var flags subnetFlags
	c := &cobra.Command{
		Use: "update SUBNET", Short: api.SubnetUpdate.Help, Args: takes(1, 1, "the prefix of a subnet"),
		Example: "  sprout subnet update 10.20.0.0/24 --cidr 10.20.0.0/23\n  sprout subnet update 10.20.0.0/24 --dns 10.20.0.2,10.20.0.3 --domain lon1.example\n" +
			"  sprout subnet update 10.20.0.0/24 --dhcp proxy --dhcp-server 10.20.0.2\n  sprout subnet update 10.20.0.0/24 --dhcp off",
		RunE: func(c *cobra.Command, args []string) error {
			in := api.UpdateSubnet{SubnetRef: api.SubnetRef{Subnet: args[0]}}
			routes, err := flags.static()
			if err != nil {
				return err
			}
			any := false
			for name, set := range map[string]func(){
				"cidr": func() { in.Body.CIDR = &flags.cidr }, "gateway": func() { in.Body.Gateway = &flags.gateway },
				"dns": func() { in.Body.DNS = &flags.dns }, "ntp": func() { in.Body.NTP = &flags.ntp },
				"domain": func() { in.Body.Domain = &flags.domain }, "search": func() { in.Body.Search = &flags.search },
				"dhcp": func() { in.Body.DHCP = (*sprout.DHCPMode)(&flags.dhcp) }, "dhcp-server": func() { in.Body.DHCPServers = &flags.servers },
				"route": func() { in.Body.Routes = &routes }, "discover": func() { in.Body.Discover = &flags.discover },
				"advertise": func() { in.Body.Advertise = (*sprout.Advertisement)(&flags.advertise) }, "mtu": func() { in.Body.MTU = &flags.mtu },
			} {
				if c.Flags().Changed(name) {
					set()
					any = true
				}
			}
			if !any {
				return usage(c, "%s needs something to change", c.CommandPath())
			}
			s, err := call(c.Context(), e, api.SubnetUpdate, in)
			if err != nil {
				return err
			}
			return e.say(s, "subnet %s is changed", s.CIDR)
		},
	}
	flags.add(c.Flags())
	return c
}

// subnetLoss is what goes with a subnet.
func (e *env) subnetLoss(ctx context.Context, ref string) (loss, error) {
	s, err := call(ctx, e, api.SubnetShow, api.SubnetRef{Subnet: ref})
	if err != nil {
		return loss{}, err
	}
	l, err := e.lossOf(ctx, s.Site, []sprout.Subnet{s.Subnet}, s.Configured)
	l.ID, l.Name = string(s.ID), s.CIDR.String()
	l.Destroys = names("ranges", "range", s.Subnet.Ranges, func(r sprout.Range) string { return fmt.Sprintf("%s %s-%s", r.Kind, r.First, r.Last) })
	return l, err
}
