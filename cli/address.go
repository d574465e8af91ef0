package cli

import (
	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func addressCommand(e *env) *cobra.Command {
	var in api.ListOfSite
	c := listCommand(e, api.AddressList, &in, listing[sprout.Address]{
		Example: "  sprout address list --site lon1", None: "no addresses are given out",
		Columns: []column[sprout.Address]{
			{Name: "ADDRESS", Value: func(a sprout.Address) string { return a.IP.String() }},
			{Name: "KIND", Value: func(a sprout.Address) string { return a.Kind }},
			{Name: "NAME", Value: func(a sprout.Address) string { return a.Name }},
			{Name: "MAC", Value: func(a sprout.Address) string { return a.MAC }},
			{Name: "MACHINE", Value: func(a sprout.Address) string { return string(a.Machine) }, Wide: true},
			{Name: "SUBNET", Value: func(a sprout.Address) string { return string(a.Subnet) }, Wide: true},
		},
	})
	c.Flags().StringVar(&in.Site, "site", "", "only of this site")
	return group("address", "Addresses that IPAM gave out.", c)
}

// leaseCommand is what `dhcp lease` was before.
func leaseCommand(e *env) *cobra.Command {
	c := group("lease", "DHCP leases that agents gave.", leaseListCommand(e, "sprout lease list"))
	c.Hidden = true
	return c
}

func leaseListCommand(e *env, path string) *cobra.Command {
	var in api.ListOfSite
	c := listCommand(e, api.LeaseList, &in, listing[sprout.Lease]{
		Example: "  " + path + " --site lon1", None: "no leases",
		Columns: []column[sprout.Lease]{
			{Name: "ADDRESS", Value: func(l sprout.Lease) string { return l.IP.String() }},
			{Name: "MAC", Value: func(l sprout.Lease) string { return l.MAC }},
			{Name: "HOSTNAME", Value: func(l sprout.Lease) string { return l.Hostname }},
			{Name: "STATE", Value: func(l sprout.Lease) string { return l.State }},
			{Name: "EXPIRES", Value: func(l sprout.Lease) string { return moment(l.ExpiresAt) }},
			{Name: "CLIENT", Value: func(l sprout.Lease) string { return l.ClientID }, Wide: true},
		},
	})
	c.Flags().StringVar(&in.Site, "site", "", "only of this site")
	return c
}
