package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func rangeCommand(e *env) *cobra.Command {
	return group("range", "Runs of addresses of a subnet that are leased, or never given out.",
		rangeCreateCommand(e), rangeUpdateCommand(e), rangeDeleteCommand(e))
}

func rangeCreateCommand(e *env) *cobra.Command {
	in, kind := api.CreateRange{}, ""
	c := &cobra.Command{
		Use: "create SUBNET FIRST-LAST", Short: api.RangeCreate.Help, Args: takes(2, 2, "a subnet, and the first and last address"),
		Example: "  sprout range create 10.20.0.0/24 10.20.0.200-10.20.0.219 --kind reserved",
		RunE: func(c *cobra.Command, args []string) error {
			in.Subnet, in.Body.Range, in.Body.Kind = args[0], args[1], sprout.RangeKind(kind)
			s, err := call(c.Context(), e, api.RangeCreate, in)
			if err != nil {
				return err
			}
			return e.say(s, "%s of %s is a %s range", args[1], s.CIDR, in.Body.Kind)
		},
	}
	c.Flags().StringVar(&kind, "kind", string(sprout.Dynamic), "what it is for: dynamic (leases) or reserved (never given out)")
	return c
}

func rangeUpdateCommand(e *env) *cobra.Command {
	in := api.UpdateRange{}
	var kind, to string
	c := &cobra.Command{
		Use: "update SUBNET FIRST-LAST", Short: api.RangeUpdate.Help, Args: takes(2, 2, "a subnet, and a range of it"),
		Example: "  sprout range update 10.20.0.0/24 10.20.0.200-10.20.0.219 --to 10.20.0.200-10.20.0.239",
		RunE: func(c *cobra.Command, args []string) error {
			in.Subnet, in.Range = args[0], args[1]
			if kind != "" {
				in.Body.Kind = (*sprout.RangeKind)(&kind)
			}
			if to != "" {
				in.Body.Range = &to
			}
			if kind == "" && to == "" {
				return usage(c, "%s needs --to or --kind", c.CommandPath())
			}
			s, err := call(c.Context(), e, api.RangeUpdate, in)
			if err != nil {
				return err
			}
			return e.say(s, "the range of %s is changed", s.CIDR)
		},
	}
	c.Flags().StringVar(&to, "to", "", "its new first and last address, FIRST-LAST")
	c.Flags().StringVar(&kind, "kind", "", "what it is for from now on: dynamic or reserved")
	return c
}

func rangeDeleteCommand(e *env) *cobra.Command {
	var subnet string
	c := ending{
		noun: "range", verb: "delete", past: "deleted", help: api.RangeDelete.Help, example: "10.20.0.200-10.20.0.219 --subnet 10.20.0.0/24", aliases: []string{"rm"},
		plan: func(ctx context.Context, ref string) (loss, error) { return e.rangeLoss(ctx, subnet, ref) },
		end: func(ctx context.Context, ref string) error {
			_, err := call(ctx, e, api.RangeDelete, api.RangeRef{SubnetRef: api.SubnetRef{Subnet: subnet}, Range: ref})
			return err
		},
		gone: func(name string) gone { return gone{Name: name, Deleted: true} },
	}.command(e)
	c.Flags().StringVar(&subnet, "subnet", "", "the subnet that it is of")
	_ = c.MarkFlagRequired("subnet") // it is one of the flags above
	return c
}

// rangeLoss is what goes with a range.
func (e *env) rangeLoss(ctx context.Context, subnet, ref string) (loss, error) {
	s, err := call(ctx, e, api.SubnetShow, api.SubnetRef{Subnet: subnet})
	if err != nil {
		return loss{}, err
	}
	for _, r := range s.Ranges {
		name := fmt.Sprintf("%s-%s", r.First, r.Last)
		if name != ref && string(r.ID) != ref {
			continue
		}
		leases, err := gather(ctx, e, api.LeaseList, api.ListOfSite{OfSite: api.OfSite{Site: string(s.Site)}}, 0)
		leases = slices.DeleteFunc(leases, func(l sprout.Lease) bool { return l.Subnet != s.ID || !r.Contains(l.IP) })
		l := loss{ID: string(r.ID), Name: name, Destroys: []string{"the " + string(r.Kind) + " range " + name + " of " + s.CIDR.String()}}
		if l.UsedBy = names("leases", "lease", leases, func(l sprout.Lease) string { return l.IP.String() }); len(leases) > 0 {
			l.Refused = "addresses of it are leased"
		}
		return l, err
	}
	return loss{}, sprout.Errorf(sprout.NotFound, "cannot find range %q of %s", ref, s.CIDR).WithRemedy("sprout subnet show %s", s.CIDR)
}
