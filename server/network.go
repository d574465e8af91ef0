package server

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/audit"
	"sprout/store"
)

func (s *Server) networkCreate(ctx context.Context, in *api.CreateNetwork) (made sprout.Network, err error) {
	site, err := s.findSite(ctx, in.Body.Site)
	if err != nil {
		return made, err
	}
	subnet, err := subnetOf(in)
	if err != nil {
		return made, err
	}
	subnet.Site = site.ID
	n := sprout.Network{Site: site.ID, SiteName: site.Name, Name: in.Body.Name, VLAN: in.Body.VLAN, MTU: in.Body.MTU, Subnets: []sprout.Subnet{subnet}}
	err = s.change(ctx, api.NetworkCreate.Name, func(ctx context.Context, _ pgx.Tx, r *sprout.AuditRecord) (err error) {
		made, err = s.providers.Network.Create(ctx, n)
		about(r, site.ID, made.ID, made.Name)
		r.Changes = audit.Diff(nil, made)
		return err
	})
	return made, asAsked(err, subnet)
}

// asAsked renames the field of an error to what the request calls it: the
// request has one subnet, and its ranges by kind.
func asAsked(err error, sub sprout.Subnet) error {
	var known *sprout.Error
	if !errors.As(err, &known) {
		return err
	}
	field, within := strings.CutPrefix(known.Field, "subnets[0].")
	if !within {
		return err
	}
	renamed := *known
	renamed.Field = field
	for i, r := range sub.Ranges {
		if strings.HasPrefix(field, fmt.Sprintf("ranges[%d]", i)) {
			renamed.Field = string(r.Kind)
		}
	}
	return &renamed
}

// subnetOf reads the addresses of a request; what they must be to each other
// the network provider checks.
func subnetOf(in *api.CreateNetwork) (sub sprout.Subnet, err error) {
	b := in.Body
	if sub.CIDR, err = netip.ParsePrefix(b.CIDR); err != nil {
		return sub, sprout.InvalidField("cidr", "%q is no prefix such as 10.20.0.0/24", b.CIDR)
	}
	if masked := sub.CIDR.Masked(); masked != sub.CIDR {
		return sub, sprout.InvalidField("cidr", "%s has host bits set", b.CIDR).WithRemedy("--cidr %s", masked)
	}
	if b.Gateway != "" {
		if sub.Gateway, err = netip.ParseAddr(b.Gateway); err != nil {
			return sub, sprout.InvalidField("gateway", "%q is no IP address", b.Gateway)
		}
	}
	if sub.DNS, err = parseAddresses("dns", b.DNS); err != nil {
		return sub, err
	}
	if sub.NTP, err = parseAddresses("ntp", b.NTP); err != nil {
		return sub, err
	}
	sub.Discover, sub.MTU = b.Discover, b.MTU
	for _, list := range []struct {
		field  string
		kind   sprout.RangeKind
		ranges []string
	}{{"dynamic", sprout.Dynamic, b.Dynamic}, {"reserved", sprout.ReservedRange, b.Reserved}} {
		for _, text := range list.ranges {
			r, err := parseRange(list.field, text)
			if err != nil {
				return sub, err
			}
			if !sub.CIDR.Contains(r.First) || !sub.CIDR.Contains(r.Last) {
				return sub, sprout.InvalidField(list.field, "%s lies outside the subnet %s", text, sub.CIDR)
			}
			r.Kind = list.kind
			sub.Ranges = append(sub.Ranges, r)
		}
	}
	return sub, nil
}

func parseAddresses(field string, texts []string) ([]netip.Addr, error) {
	list := []netip.Addr{}
	for _, text := range texts {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return nil, sprout.InvalidField(field, "%q is no IP address", text)
		}
		list = append(list, ip)
	}
	return list, nil
}

// parseRange reads FIRST-LAST, or one address.
func parseRange(field, text string) (sprout.Range, error) {
	first, last, two := strings.Cut(text, "-")
	if !two {
		last = first
	}
	from, err1 := netip.ParseAddr(strings.TrimSpace(first))
	to, err2 := netip.ParseAddr(strings.TrimSpace(last))
	if err1 != nil || err2 != nil {
		return sprout.Range{}, sprout.InvalidField(field, "%q is no range such as 10.20.0.100-10.20.0.199", text)
	}
	if to.Less(from) {
		return sprout.Range{}, sprout.InvalidField(field, "%q ends before it begins", text).WithRemedy("--%s %s-%s", field, to, from)
	}
	return sprout.Range{First: from, Last: to}, nil
}

func (s *Server) networkList(ctx context.Context, in *api.ListNetworks) (out api.Page[sprout.Network], err error) {
	sites, err := s.sitesOf(ctx, in.Site)
	if err != nil {
		return out, err
	}
	return paged(s.store.ListNetworks(ctx, store.NetworkFilter{Sites: sites, Page: sorted(in.Paging, in.Sort)}))
}

func (s *Server) networkShow(ctx context.Context, in *api.NetworkRef) (sprout.Network, error) {
	return s.findNetwork(ctx, in.Network)
}

func (s *Server) networkDelete(ctx context.Context, in *api.NetworkRef) (api.None, error) {
	n, err := s.findNetwork(ctx, in.Network)
	if err != nil {
		return api.None{}, err
	}
	return api.None{}, s.change(ctx, api.NetworkDelete.Name, func(ctx context.Context, _ pgx.Tx, r *sprout.AuditRecord) error {
		about(r, n.Site, n.ID, n.Name)
		r.Changes = audit.Diff(n, nil)
		return s.providers.Network.Delete(ctx, n.ID)
	})
}

func (s *Server) addressList(ctx context.Context, in *api.ListOfSite) (out api.Page[sprout.Address], err error) {
	sites, err := s.sitesOf(ctx, in.Site)
	if err != nil {
		return out, err
	}
	return paged(s.store.Addresses(ctx, store.AddressFilter{Sites: sites, Page: page(in.Paging)}))
}

func (s *Server) leaseList(ctx context.Context, in *api.ListOfSite) (out api.Page[sprout.Lease], err error) {
	sites, err := s.sitesOf(ctx, in.Site)
	if err != nil {
		return out, err
	}
	return paged(s.store.Leases(ctx, store.LeaseFilter{Sites: sites, Page: page(in.Paging)}))
}

// filled keeps an empty list from becoming null in JSON.
func filled[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
