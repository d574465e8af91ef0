package server

import (
	"context"
	"errors"
	"fmt"
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
	subnet, err := subnetOf(in.Body.NewSubnet)
	if err != nil {
		return made, err
	}
	subnet.Site, subnet.MTU = site.ID, in.Body.MTU
	n := sprout.Network{
		Site: site.ID, SiteName: site.Name, Name: in.Body.Name, VLAN: in.Body.VLAN, VRF: in.Body.VRF, MTU: in.Body.MTU, Subnets: []sprout.Subnet{subnet},
	}
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
	field := strings.TrimPrefix(known.Field, "subnets[0].")
	renamed := *known
	renamed.Field = field
	for i, r := range sub.Ranges {
		if strings.HasPrefix(field, fmt.Sprintf("ranges[%d]", i)) {
			renamed.Field = string(r.Kind)
		}
	}
	return &renamed
}

func (s *Server) networkList(ctx context.Context, in *api.ListNetworks) (out api.Page[sprout.Network], err error) {
	sites, err := s.sitesOf(ctx, in.Site)
	if err != nil {
		return out, err
	}
	return paged(s.store.ListNetworks(ctx, store.NetworkFilter{Sites: sites, Page: sorted(in.Paging, in.Sort)}))
}

func (s *Server) networkShow(ctx context.Context, in *api.NetworkRef) (out api.NetworkReport, err error) {
	if out.Network, err = s.findNetwork(ctx, in.Network); err != nil {
		return out, err
	}
	if out.Usage, err = s.store.Usages(ctx, out.Subnets); err != nil {
		return out, err
	}
	var ids []sprout.SubnetID
	for _, sub := range out.Subnets {
		ids = append(ids, sub.ID)
	}
	out.Configured, err = s.store.ConfiguredWith(ctx, ids...)
	return out, err
}

func (s *Server) networkUpdate(ctx context.Context, in *api.UpdateNetwork) (n sprout.Network, err error) {
	old, err := s.findNetwork(ctx, in.Network)
	if err != nil {
		return n, err
	}
	n = old
	setTo(&n.Name, in.Body.Name)
	setTo(&n.VLAN, in.Body.VLAN)
	setTo(&n.VRF, in.Body.VRF)
	setTo(&n.MTU, in.Body.MTU)
	err = s.change(ctx, api.NetworkUpdate.Name, func(ctx context.Context, _ pgx.Tx, r *sprout.AuditRecord) (err error) {
		n, err = s.providers.Network.Update(ctx, n)
		about(r, old.Site, old.ID, old.Name)
		r.Changes = audit.Diff(old, n)
		return err
	})
	return n, err
}

// setTo changes a field to what was asked for, if anything was.
func setTo[T any](field *T, asked *T) {
	if asked != nil {
		*field = *asked
	}
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

func (s *Server) addressList(ctx context.Context, in *api.ListAddresses) (out api.Page[sprout.Address], err error) {
	sites, err := s.sitesOf(ctx, in.Site)
	if err != nil {
		return out, err
	}
	return paged(s.store.Addresses(ctx, store.AddressFilter{Sites: sites, Kind: in.Kind, Page: page(in.Paging)}))
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
