package server

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/audit"
	"sprout/store"
)

// findSubnet finds a subnet by id, prefix or site/prefix. A prefix that two sites
// or two VRFs have does not say which.
func (s *Server) findSubnet(ctx context.Context, ref string) (sub sprout.Subnet, err error) {
	defer func() { seen(ctx, err, sub.Site, sub.ID, sub.CIDR.String()) }()
	sites, rest := scope(ctx), ref
	if site, prefix, qualified := strings.Cut(ref, "/"); qualified && strings.Contains(prefix, "/") {
		if sites, err = s.sitesOf(ctx, site); err != nil {
			return sub, err
		}
		rest = prefix
	}
	list, err := s.store.FindSubnets(ctx, sites, rest)
	switch {
	case err != nil:
		return sub, err
	case len(list) == 1:
		return list[0], nil
	case len(list) == 0:
		e := sprout.Errorf(sprout.NotFound, "cannot find subnet %q", ref)
		e.Field = "subnet"
		return sub, e.WithRemedy("sprout subnet list")
	}
	var said []string
	for _, sub := range list[:min(len(list), 5)] {
		in := "the usual VRF"
		if sub.VRF != "" {
			in = "VRF " + sub.VRF
		}
		said = append(said, fmt.Sprintf("%s (%s)", sub.ID, in))
	}
	return sub, sprout.InvalidField("subnet", "%q is %s: say which", ref, strings.Join(said, " or "))
}

func (s *Server) subnetCreate(ctx context.Context, in *api.CreateSubnet) (made sprout.Subnet, err error) {
	n, err := s.findNetwork(ctx, in.Body.Network)
	if err != nil {
		return made, err
	}
	sub, create, err := s.subnetToCreate(in)
	if err != nil {
		return made, err
	}
	sub.Site, sub.Network, sub.MTU = n.Site, n.ID, in.Body.MTU
	err = s.change(ctx, api.SubnetCreate.Name, func(ctx context.Context, _ pgx.Tx, r *sprout.AuditRecord) (err error) {
		made, err = create(ctx, sub)
		about(r, n.Site, made.ID, made.CIDR.String())
		r.Changes = audit.Diff(nil, made)
		return err
	})
	return made, asAsked(err, sub)
}

// subnetToCreate reads what is to be created, and says how: with the prefix that
// it has, or with one that is still to be found.
func (s *Server) subnetToCreate(in *api.CreateSubnet) (sub sprout.Subnet, create func(context.Context, sprout.Subnet) (sprout.Subnet, error), err error) {
	b := in.Body
	if b.From == "" {
		if b.Prefix != 0 {
			return sub, nil, sprout.InvalidField("prefix", "is the length of a prefix within from: say from, too")
		}
		sub, err = subnetOf(b.NewSubnet)
		return sub, s.providers.Network.CreateSubnet, err
	}
	switch {
	case b.CIDR != "":
		return sub, nil, sprout.InvalidField("from", "say cidr, or from and prefix, but not both")
	case len(b.Dynamic)+len(b.Reserved) > 0:
		field := map[bool]string{true: "dynamic", false: "reserved"}[len(b.Dynamic) > 0]
		return sub, nil, sprout.InvalidField(field, "cannot be said of a prefix that is still to be found").WithRemedy("sprout range create SUBNET FIRST-LAST, once it is there")
	}
	next, err := nextOf(b.From, b.Prefix)
	if err != nil {
		return sub, nil, err
	}
	if b.Gateway == sprout.FirstHost || b.Gateway == sprout.LastHost {
		next.Gateway, b.Gateway = b.Gateway, ""
	}
	sub, err = describedBy(b.NewSubnet)
	return sub, func(ctx context.Context, sub sprout.Subnet) (sprout.Subnet, error) {
		return s.providers.Network.CreateNextSubnet(ctx, sub, next)
	}, err
}

func (s *Server) subnetNext(ctx context.Context, in *api.NextSubnet) (out api.FreeSubnet, err error) {
	n, err := s.findNetwork(ctx, in.Network)
	if err != nil {
		return out, err
	}
	next, err := nextOf(in.From, in.Prefix)
	if err != nil {
		return out, err
	}
	next.Gateway = in.Gateway
	sub, err := s.providers.Network.NextSubnet(ctx, sprout.Subnet{Site: n.Site, Network: n.ID}, next)
	if err != nil {
		return out, err
	}
	return api.FreeSubnet{CIDR: sub.CIDR, Gateway: sub.Gateway, Network: n.ID, VRF: n.VRF}, nil
}

func (s *Server) subnetList(ctx context.Context, in *api.ListSubnets) (out api.Page[sprout.Subnet], err error) {
	f := store.SubnetFilter{Page: page(in.Paging)}
	if f.Sites, err = s.sitesOf(ctx, in.Site); err != nil {
		return out, err
	}
	if in.Network != "" {
		n, err := s.findNetwork(ctx, in.Network)
		if err != nil {
			return out, err
		}
		f.Network = n.ID
	}
	return paged(s.store.ListSubnets(ctx, f))
}

func (s *Server) subnetShow(ctx context.Context, in *api.SubnetRef) (out api.SubnetReport, err error) {
	if out.Subnet, err = s.findSubnet(ctx, in.Subnet); err != nil {
		return out, err
	}
	usage, err := s.store.Usages(ctx, []sprout.Subnet{out.Subnet})
	if err != nil {
		return out, err
	}
	out.Usage = usage[0]
	out.Configured, err = s.store.ConfiguredWith(ctx, out.ID)
	return out, err
}

func (s *Server) subnetUpdate(ctx context.Context, in *api.UpdateSubnet) (sprout.Subnet, error) {
	return s.changeSubnet(ctx, api.SubnetUpdate.Name, in.Subnet, func(ctx context.Context, old sprout.Subnet) (sprout.Subnet, error) {
		sub, err := changedSubnet(old, in)
		if err != nil {
			return old, err
		}
		return s.providers.Network.UpdateSubnet(ctx, sub)
	})
}

// changedSubnet is old with what was asked for.
func changedSubnet(sub sprout.Subnet, in *api.UpdateSubnet) (_ sprout.Subnet, err error) {
	b := in.Body
	if b.CIDR != nil {
		if sub.CIDR, err = parseCIDR("cidr", *b.CIDR); err != nil {
			return sub, err
		}
	}
	if b.Gateway != nil {
		if sub.Gateway, err = parseGateway(*b.Gateway); err != nil {
			return sub, err
		}
	}
	if b.Routes != nil {
		if sub.Routes, err = parseRoutes(*b.Routes); err != nil {
			return sub, err
		}
	}
	for _, list := range []struct {
		field string
		is    *[]netip.Addr
		asked *[]string
	}{{"dns", &sub.DNS, b.DNS}, {"ntp", &sub.NTP, b.NTP}} {
		if list.asked == nil {
			continue
		}
		if *list.is, err = parseAddresses(list.field, *list.asked); err != nil {
			return sub, err
		}
	}
	if b.DHCPServers != nil {
		if sub.DHCPServers, err = parseServers(*b.DHCPServers); err != nil {
			return sub, err
		}
	}
	setTo(&sub.DHCP, b.DHCP)
	setTo(&sub.Domain, b.Domain)
	setTo(&sub.Search, b.Search)
	setTo(&sub.Advertise, b.Advertise)
	setTo(&sub.Discover, b.Discover)
	setTo(&sub.MTU, b.MTU)
	return sub, nil
}

// changeSubnet does something to a subnet, and records what came of it.
func (s *Server) changeSubnet(ctx context.Context, action, ref string, do func(ctx context.Context, old sprout.Subnet) (sprout.Subnet, error)) (sub sprout.Subnet, err error) {
	old, err := s.findSubnet(ctx, ref)
	if err != nil {
		return sub, err
	}
	err = s.change(ctx, action, func(ctx context.Context, _ pgx.Tx, r *sprout.AuditRecord) (err error) {
		about(r, old.Site, old.ID, old.CIDR.String())
		sub, err = do(ctx, old)
		r.Changes = audit.Diff(old, sub)
		return err
	})
	return sub, err
}

func (s *Server) subnetDelete(ctx context.Context, in *api.SubnetRef) (api.None, error) {
	sub, err := s.findSubnet(ctx, in.Subnet)
	if err != nil {
		return api.None{}, err
	}
	return api.None{}, s.change(ctx, api.SubnetDelete.Name, func(ctx context.Context, _ pgx.Tx, r *sprout.AuditRecord) error {
		about(r, sub.Site, sub.ID, sub.CIDR.String())
		r.Changes = audit.Diff(sub, nil)
		return s.providers.Network.DeleteSubnet(ctx, sub.ID)
	})
}

func (s *Server) rangeCreate(ctx context.Context, in *api.CreateRange) (sprout.Subnet, error) {
	return s.changeSubnet(ctx, api.RangeCreate.Name, in.Subnet, func(ctx context.Context, old sprout.Subnet) (sprout.Subnet, error) {
		r, err := parseRange("range", in.Body.Range)
		if err != nil {
			return old, err
		}
		r.Kind = in.Body.Kind
		return s.providers.Network.CreateRange(ctx, old.ID, r)
	})
}

func (s *Server) rangeUpdate(ctx context.Context, in *api.UpdateRange) (sprout.Subnet, error) {
	return s.changeSubnet(ctx, api.RangeUpdate.Name, in.Subnet, func(ctx context.Context, old sprout.Subnet) (sprout.Subnet, error) {
		r, err := rangeIn(old, in.Range)
		if err != nil {
			return old, err
		}
		if in.Body.Range != nil {
			asked, err := parseRange("range", *in.Body.Range)
			if err != nil {
				return old, err
			}
			r.First, r.Last = asked.First, asked.Last
		}
		setTo(&r.Kind, in.Body.Kind)
		return s.providers.Network.UpdateRange(ctx, old.ID, r)
	})
}

func (s *Server) rangeDelete(ctx context.Context, in *api.RangeRef) (sprout.Subnet, error) {
	return s.changeSubnet(ctx, api.RangeDelete.Name, in.Subnet, func(ctx context.Context, old sprout.Subnet) (sprout.Subnet, error) {
		r, err := rangeIn(old, in.Range)
		if err != nil {
			return old, err
		}
		return s.providers.Network.DeleteRange(ctx, old.ID, r.ID)
	})
}

// rangeIn finds a range of a subnet by id, or by its ends.
func rangeIn(sub sprout.Subnet, ref string) (sprout.Range, error) {
	for _, r := range sub.Ranges {
		if string(r.ID) == ref || fmt.Sprintf("%s-%s", r.First, r.Last) == ref || r.First == r.Last && r.First.String() == ref {
			return r, nil
		}
	}
	e := sprout.Errorf(sprout.NotFound, "cannot find range %q of %s", ref, sub.CIDR)
	e.Field = "range"
	return sprout.Range{}, e.WithRemedy("sprout subnet show %s", sub.CIDR)
}
