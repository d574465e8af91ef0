package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func addressCommand(e *env) *cobra.Command {
	return group("address", "Addresses that IPAM gave out.",
		addressAllocateCommand(e), addressHoldCommand(e), addressListCommand(e), addressShowCommand(e), addressProbeCommand(e), addressReleaseCommand(e))
}

func addressListCommand(e *env) *cobra.Command {
	var in api.ListAddresses
	c := listCommand(e, api.AddressList, &in, listing[sprout.Address]{
		Example: "  sprout address list --site lon1\n  sprout address list --kind quarantined", None: "no addresses are given out",
		Columns: []column[sprout.Address]{
			{Name: "ADDRESS", Value: func(a sprout.Address) string { return a.IP.String() }},
			{Name: "KIND", Value: func(a sprout.Address) string { return a.Kind }},
			{Name: "NAME", Value: func(a sprout.Address) string { return a.Name }},
			{Name: "MAC", Value: func(a sprout.Address) string { return a.MAC }},
			{Name: "EXPIRES", Value: expiry},
			{Name: "TAKEN BY", Value: func(a sprout.Address) string { return a.TakenBy }},
			{Name: "PURPOSE", Value: func(a sprout.Address) string { return a.Purpose }, Wide: true},
			{Name: "MACHINE", Value: func(a sprout.Address) string { return string(a.Machine) }, Wide: true},
			{Name: "SUBNET", Value: func(a sprout.Address) string { return string(a.Subnet) }, Wide: true},
		},
	})
	c.Flags().StringVar(&in.Site, "site", "", "only of this site")
	c.Flags().StringVar(&in.Kind, "kind", "", "only of this kind: machine, manual, hold or quarantined")
	return c
}

func addressProbeCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "probe ADDRESS", Short: api.AddressProbe.Help, Args: takes(1, 1, "an address"),
		Example: "  sprout address probe 10.20.0.50\n  sprout address probe lon1/10.20.0.50",
		RunE: func(c *cobra.Command, args []string) error {
			p, err := call(c.Context(), e, api.AddressProbe, api.AddressRef{Address: args[0]})
			if err != nil {
				return err
			}
			switch p.State {
			case sprout.ProbeTaken:
				return e.say(p, "%s answers for %s", p.MAC, p.IP)
			case sprout.ProbeFree:
				return e.say(p, "nobody answers for %s", p.IP)
			}
			return e.say(p, "%s was not asked for: %s", p.IP, p.Why)
		},
	}
}

func expiry(a sprout.Address) string {
	if a.ExpiresAt == nil {
		return ""
	}
	return moment(*a.ExpiresAt)
}

func probing(a sprout.Address) string {
	if a.ProbeAt == nil {
		return ""
	}
	return moment(*a.ProbeAt)
}

// wanted adds the flags that say which addresses are wanted.
func wanted(c *cobra.Command, in *api.WantedAddresses) {
	f := c.Flags()
	f.StringVar(&in.IP, "ip", "", "this one (default whichever is free)")
	f.IntVar(&in.Count, "count", 0, "so many, one after the other (default 1)")
	f.IntVar(&in.Prefix, "prefix", 0, "the next free prefix of this length within the subnet")
	f.StringVar(&in.Name, "name", "", "name of the host that they are for")
	f.StringVar(&in.Purpose, "purpose", "", "why, in words")
}

func addressAllocateCommand(e *env) *cobra.Command {
	var in api.AllocateAddress
	c := &cobra.Command{
		Use: "allocate SUBNET", Short: api.AddressAllocate.Help, Args: takes(1, 1, "a subnet: its prefix, its id, or the name of its network"),
		Example: "  sprout address allocate 10.20.0.0/24 --name printer.lon1.example\n  sprout address allocate lon1/provisioning --ip 10.20.0.50\n" +
			"  sprout address allocate 10.20.0.0/24 --prefix 29 --purpose 'load balancers'",
		RunE: func(c *cobra.Command, args []string) error {
			in.Body.Subnet = args[0]
			given, err := call(c.Context(), e, api.AddressAllocate, in)
			if err != nil {
				return err
			}
			if given.Unprobed != "" {
				fmt.Fprintf(e.stderr, "nobody looked whether somebody else uses them: %s\n", given.Unprobed)
			}
			return e.say(given, "%s", span(given.Items))
		},
	}
	wanted(c, &in.Body.WantedAddresses)
	c.Flags().BoolVar(&in.Body.NoProbe, "no-probe", false, "do not look before whether somebody else uses them, which takes a second")
	return c
}

func addressHoldCommand(e *env) *cobra.Command {
	var in api.HoldAddress
	var during time.Duration
	c := &cobra.Command{
		Use: "hold SUBNET", Short: api.AddressHold.Help, Args: takes(1, 1, "a subnet: its prefix, its id, or the name of its network"),
		Example: "  sprout address hold 10.20.0.0/24 --for 1h --purpose 'new rack'\n  sprout address hold 10.20.0.0/24 --count 8 --for 24h",
		RunE: func(c *cobra.Command, args []string) error {
			if during < time.Second {
				return usage(c, "%s needs --for, at least 1s", c.CommandPath())
			}
			in.Body.Subnet, in.Body.Seconds = args[0], int(during.Seconds())
			given, err := call(c.Context(), e, api.AddressHold, in)
			if err != nil {
				return err
			}
			return e.say(given, "%s until %s", span(given.Items), expiry(given.Items[0]))
		},
	}
	wanted(c, &in.Body.WantedAddresses)
	c.Flags().DurationVar(&during, "for", 0, "how long, as 1h")
	return c
}

// span writes addresses that follow each other.
func span(list []sprout.Address) string {
	if len(list) == 1 {
		return list[0].IP.String()
	}
	return fmt.Sprintf("%s-%s", list[0].IP, list[len(list)-1].IP)
}

func addressShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show ADDRESS", Short: api.AddressShow.Help, Args: takes(1, 1, "an address"), Example: "  sprout address show 10.20.0.50",
		RunE: func(c *cobra.Command, args []string) error {
			a, err := call(c.Context(), e, api.AddressShow, api.AddressRef{Address: args[0]})
			if err != nil {
				return err
			}
			return e.answer(a, func() {
				writeLines(e.stdout, []line{
					{"Address", fmt.Sprintf("%s/%d", a.IP, a.Prefix)}, {"Kind", a.Kind}, {"Name", a.Name}, {"Purpose", a.Purpose}, {"MAC", a.MAC},
					{"Machine", string(a.Machine)}, {"VRF", a.VRF}, {"Since", moment(a.CreatedAt)}, {"Expires", expiry(a)}, {"Taken by", a.TakenBy}, {"Probed again", probing(a)}, {"Subnet", string(a.Subnet)}, {"Id", string(a.ID)},
				})
			})
		},
	}
}

func addressReleaseCommand(e *env) *cobra.Command {
	return ending{
		noun: "address", verb: "release", past: "free", help: api.AddressRelease.Help, example: "10.20.0.50", plan: e.addressLoss,
		end: func(ctx context.Context, ref string) error {
			_, err := call(ctx, e, api.AddressRelease, api.AddressRef{Address: ref})
			return err
		},
		gone: func(name string) gone { return gone{Name: name, Deleted: true} },
	}.command(e)
}

// addressLoss is who has the address that would be free.
func (e *env) addressLoss(ctx context.Context, ref string) (loss, error) {
	a, err := call(ctx, e, api.AddressShow, api.AddressRef{Address: ref})
	if err != nil {
		return loss{}, err
	}
	l := loss{ID: string(a.ID), Name: a.IP.String(), Destroys: []string{"what is noted of it: " + a.Kind + " " + a.Name + " " + a.Purpose}}
	if a.Machine != "" {
		l.UsedBy, l.Refused = []string{string(a.Machine)}, "a machine has it: sprout machine release "+string(a.Machine)
	}
	return l, nil
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
