package server

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/audit"
)

// mostAddresses is how many addresses are given out at once.
const mostAddresses = 1024

func (s *Server) addressHold(ctx context.Context, in *api.HoldAddress) (out api.GivenAddresses, err error) {
	sub, b, err := s.wantedBlock(ctx, in.Body.WantedAddresses)
	if err != nil {
		return out, err
	}
	b.For = time.Duration(in.Body.Seconds) * time.Second
	return s.giveOut(ctx, api.AddressHold.Name, sub, b)
}

// wantedBlock reads which addresses are wanted, and of which subnet.
func (s *Server) wantedBlock(ctx context.Context, want api.WantedAddresses) (sub sprout.Subnet, b sprout.AddressBlock, err error) {
	if sub, err = s.subnetNamed(ctx, want.Subnet); err != nil {
		return sub, b, err
	}
	b, err = blockOf(sub, want)
	return sub, b, err
}

// giveOut gives out the addresses that are wanted, all or none.
func (s *Server) giveOut(ctx context.Context, action string, sub sprout.Subnet, b sprout.AddressBlock) (out api.GivenAddresses, err error) {
	err = s.change(ctx, action, func(ctx context.Context, _ pgx.Tx, r *sprout.AuditRecord) (err error) {
		about(r, sub.Site, sub.ID, sub.CIDR.String())
		if out.Items, err = s.providers.IPAM.Reserve(ctx, b); err != nil {
			return err
		}
		first := out.Items[0]
		about(r, sub.Site, first.ID, first.IP.String())
		r.Changes = audit.Diff(nil, first)
		if n := len(out.Items); n > 1 {
			r.Detail = first.IP.String() + "-" + out.Items[n-1].IP.String()
		}
		return nil
	})
	return out, err
}

// blockOf reads what is wanted; whether it can be had the address management says.
func blockOf(sub sprout.Subnet, want api.WantedAddresses) (b sprout.AddressBlock, err error) {
	b = sprout.AddressBlock{Subnet: sub.ID, Count: max(want.Count, 1), Name: want.Name, Purpose: want.Purpose}
	if want.IP != "" {
		if b.First, err = netip.ParseAddr(want.IP); err != nil {
			return b, sprout.InvalidField("ip", "%q is no IP address", want.IP)
		}
	}
	if want.Prefix == 0 {
		return b, nil
	}
	host := sub.CIDR.Addr().BitLen() - want.Prefix
	switch {
	case want.Count > 0 || want.IP != "":
		return b, sprout.InvalidField("prefix", "say prefix, or count and ip, but not both")
	case want.Prefix < sub.CIDR.Bits() || host < 0:
		return b, sprout.InvalidField("prefix", "no /%d lies in %s", want.Prefix, sub.CIDR)
	case host > 10:
		return b, sprout.InvalidField("prefix", "a /%d has more than %d addresses: make a subnet of it", want.Prefix, mostAddresses)
	}
	b.Count, b.Aligned = 1<<host, true
	return b, nil
}

func (s *Server) addressShow(ctx context.Context, in *api.AddressRef) (sprout.Address, error) {
	return s.findAddress(ctx, in.Address)
}

func (s *Server) addressRelease(ctx context.Context, in *api.AddressRef) (api.None, error) {
	a, err := s.findAddress(ctx, in.Address)
	if err != nil {
		return api.None{}, err
	}
	return api.None{}, s.change(ctx, api.AddressRelease.Name, func(ctx context.Context, _ pgx.Tx, r *sprout.AuditRecord) error {
		about(r, a.Site, a.ID, a.IP.String())
		r.Changes = audit.Diff(a, nil)
		return s.providers.IPAM.Free(ctx, a.ID)
	})
}

// findAddress returns the address that ref names: by id, or by itself, with its
// site before it where that is needed.
func (s *Server) findAddress(ctx context.Context, ref string) (a sprout.Address, err error) {
	defer func() { seen(ctx, err, a.Site, a.ID, a.IP.String()) }()
	sites, text, err := s.splitAddress(ctx, ref)
	if err != nil {
		return a, err
	}
	list, err := s.store.FindAddresses(ctx, sites, text)
	switch {
	case err != nil:
		return a, err
	case len(list) == 0:
		return a, sprout.Errorf(sprout.NotFound, "cannot find address %q: nobody has it", ref).WithRemedy("sprout address list")
	case len(list) > 1:
		return a, sprout.InvalidField("address", "%q is given out more than once: name it by its id, %s or %s", ref, list[0].ID, list[1].ID)
	}
	return list[0], nil
}

// splitAddress reads a reference to an address: what names it, and the sites at
// which it may be.
func (s *Server) splitAddress(ctx context.Context, ref string) (sites sprout.Sites, text string, err error) {
	site, text, qualified := strings.Cut(ref, "/")
	if !qualified {
		site, text = "", ref
	}
	sites, err = s.sitesOf(ctx, site)
	return sites, text, err
}

// subnetNamed returns the subnet that ref names: by prefix or id, or by the
// network of which it is the only one, with its site before it where that is
// needed.
func (s *Server) subnetNamed(ctx context.Context, ref string) (sprout.Subnet, error) {
	site, rest := "", ref
	if before, after, ok := strings.Cut(ref, "/"); ok {
		if _, err := netip.ParseAddr(before); err != nil {
			site, rest = before, after
		}
	}
	sites, err := s.sitesOf(ctx, site)
	if err != nil {
		return sprout.Subnet{}, err
	}
	networks, err := s.store.Networks(ctx, sites)
	if err != nil {
		return sprout.Subnet{}, err
	}
	var found []sprout.Subnet
	for _, n := range networks {
		for _, sub := range n.Subnets {
			if rest == sub.CIDR.String() || rest == string(sub.ID) || rest == n.Name || rest == string(n.ID) {
				found = append(found, sub)
			}
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		e := sprout.Errorf(sprout.NotFound, "cannot find subnet %q", ref)
		e.Field = "subnet"
		return sprout.Subnet{}, e.WithRemedy("sprout network list")
	}
	return sprout.Subnet{}, sprout.InvalidField("subnet", "%q may be %s of %s or %s of %s: name it by its id", ref, found[0].ID, found[0].CIDR, found[1].ID, found[1].CIDR)
}
