package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func dhcpOptionCommand(e *env) *cobra.Command {
	return group("option", "DHCP options that agents send because an operator set them.",
		dhcpOptionSetCommand(e), dhcpOptionListCommand(e), dhcpOptionShowCommand(e), dhcpOptionUnsetCommand(e))
}

func dhcpOptionRef(ref string) api.DHCPOptionRef { return api.DHCPOptionRef{Option: ref} }

func dhcpOptionSetCommand(e *env) *cobra.Command {
	var in api.SetDHCPOption
	var six bool
	c := &cobra.Command{
		Use: "set OPTION VALUE", Short: api.DHCPOptionSet.Help, Args: takes(2, 2, "an option, by name or number, and its value"),
		Long: "Have a site's agent send a DHCP option. Of what is set for the same client the narrower counts: a machine's, then a class's\n" +
			"(the one with the most conditions), a subnet's, the site's, and then what Sprout computes. An option is sent to who asks for it.\n" +
			"A value is what the option takes: addresses or names with commas, a number, true or false, a text; of an option that is not\n" +
			"known, bytes in hexadecimal. What the protocol says, and what machines boot, is Sprout's own.",
		Example: "  sprout dhcp option set ntp-servers 10.20.0.3,10.20.0.4 --site lon1\n" +
			"  sprout dhcp option set domain-search lon1.example,example --site lon1 --subnet 10.20.0.0/24\n" +
			"  sprout dhcp option set 43 0x0104c0a80001 --site lon1 --class vendor=Cisco --always\n" +
			"  sprout dhcp option set classless-static-route 10.30.0.0/16=10.20.0.254 --site lon1 --machine web-01\n" +
			"  sprout dhcp option set dns-servers fd00:20::53 --site lon1 --ipv6",
		RunE: func(c *cobra.Command, args []string) error {
			if in.Body.Option, in.Body.Value = args[0], args[1]; in.Body.Site == "" {
				return usage(c, "%s needs --site", c.CommandPath())
			}
			if six {
				in.Body.Version = 6
			}
			o, err := call(c.Context(), e, api.DHCPOptionSet, in)
			if err != nil {
				return err
			}
			return e.say(o, "%s (%d) is %s for the %s (%s)", o.Name, o.Code, o.Value, o.Scope(), o.ID)
		},
	}
	f := c.Flags()
	f.StringVar(&in.Body.Site, "site", "", "site whose agent sends it")
	f.StringVar(&in.Body.Subnet, "subnet", "", "only to clients of this subnet, by prefix or id")
	f.StringVar(&in.Body.Class, "class", "", "only to clients that are so: vendor=, user=, arch= and mac=, with commas")
	f.StringVar(&in.Body.Machine, "machine", "", "only to this machine")
	f.BoolVar(&six, "ipv6", false, "an option of DHCPv6 (default of DHCP, or what the subnet is)")
	f.BoolVar(&in.Body.Always, "always", false, "send it also to who does not ask for it")
	return c
}

func dhcpOptionListCommand(e *env) *cobra.Command {
	var in api.ListOfSite
	c := listCommand(e, api.DHCPOptionList, &in, listing[sprout.DHCPSetting]{
		Example: "  sprout dhcp option list --site lon1", None: "no DHCP options are set: sprout dhcp option set OPTION VALUE --site SITE",
		Columns: []column[sprout.DHCPSetting]{
			{Name: "OPTION", Value: func(o sprout.DHCPSetting) string { return o.Name }},
			{Name: "CODE", Value: func(o sprout.DHCPSetting) string { return fmt.Sprint(o.Code) }},
			{Name: "IP", Value: func(o sprout.DHCPSetting) string { return fmt.Sprintf("v%d", o.Version) }},
			{Name: "VALUE", Value: func(o sprout.DHCPSetting) string { return o.Value }},
			{Name: "FOR", Value: optionFor},
			{Name: "ALWAYS", Value: func(o sprout.DHCPSetting) string { return yesNo(o.Always) }},
			{Name: "ID", Value: func(o sprout.DHCPSetting) string { return string(o.ID) }},
		},
	})
	c.Flags().StringVar(&in.Site, "site", "", "only of this site")
	return c
}

// optionFor says for whom an option is set.
func optionFor(o sprout.DHCPSetting) string {
	if o.Class != "" {
		return o.Scope()
	}
	return o.Scope() + " " + o.Owner()
}

func dhcpOptionShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show OPTION", Short: api.DHCPOptionShow.Help, Args: takes(1, 1, "the id of a DHCP option"), Example: "  sprout dhcp option show opt_01jd3k",
		RunE: func(c *cobra.Command, args []string) error {
			o, err := call(c.Context(), e, api.DHCPOptionShow, dhcpOptionRef(args[0]))
			if err != nil {
				return err
			}
			return e.answer(o, func() {
				writeLines(e.stdout, []line{{"Option", fmt.Sprintf("%s (%d, IPv%d)", o.Name, o.Code, o.Version)}, {"Value", o.Value}, {"For", optionFor(o)}, {"Always", yesNo(o.Always)}, {"Id", string(o.ID)}})
			})
		},
	}
}

func dhcpOptionUnsetCommand(e *env) *cobra.Command {
	return ending{
		noun: "dhcp option", verb: "unset", past: "unset", help: api.DHCPOptionUnset.Help, example: "opt_01jd3k",
		plan: func(ctx context.Context, ref string) (loss, error) {
			o, err := call(ctx, e, api.DHCPOptionShow, dhcpOptionRef(ref))
			if err != nil {
				return loss{}, err
			}
			return loss{ID: string(o.ID), Name: o.Name, Destroys: []string{fmt.Sprintf("%s %s for the %s", o.Name, o.Value, optionFor(o))}}, nil
		},
		end: func(ctx context.Context, ref string) error {
			_, err := call(ctx, e, api.DHCPOptionUnset, dhcpOptionRef(ref))
			return err
		},
		gone: func(name string) gone { return gone{Name: name, Deleted: true} },
	}.command(e)
}
