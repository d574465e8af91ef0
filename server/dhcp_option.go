package server

import (
	"context"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/audit"
	"sprout/dhcp"
	"sprout/store"
)

// version is that of IP.
func version(six bool) int {
	if six {
		return 6
	}
	return 4
}

func (s *Server) dhcpOptionSet(ctx context.Context, in *api.SetDHCPOption) (now sprout.DHCPSetting, err error) {
	b := in.Body
	site, err := s.findSite(ctx, b.Site)
	if err != nil {
		return now, err
	}
	asked := sprout.DHCPSetting{Site: site.ID, Class: b.Class, Version: b.Version, Name: b.Option, Value: b.Value, Always: b.Always}
	if err := s.scopeOf(ctx, site, &asked, b.Subnet, b.Machine); err != nil {
		return now, err
	}
	o, err := dhcp.CheckSetting(asked)
	if err != nil {
		return now, err
	}
	err = s.change(ctx, api.DHCPOptionSet.Name, func(ctx context.Context, tx pgx.Tx, a *sprout.AuditRecord) error {
		var before sprout.DHCPSetting
		if now, before, err = s.store.SetDHCPOption(ctx, tx, o); err != nil {
			return err
		}
		about(a, site.ID, now.ID, now.Name)
		if before.ID == "" {
			a.Changes = audit.Diff(nil, now)
			return nil
		}
		a.Changes = audit.Diff(before, now)
		return nil
	})
	return now, err
}

// scopeOf finds whom an option is set for: at most one of a subnet, a class and a
// machine, which must be the site's.
func (s *Server) scopeOf(ctx context.Context, site sprout.Site, o *sprout.DHCPSetting, subnet, machine string) error {
	scopes := 0
	for _, said := range []string{subnet, o.Class, machine} {
		if said != "" {
			scopes++
		}
	}
	if scopes > 1 {
		return sprout.InvalidField("class", "cannot set %s: it is set for a subnet, for a class or for a machine, not for several of these at once", o.Name)
	}
	if subnet != "" {
		sub, err := s.findSubnet(ctx, subnet)
		if err != nil {
			return err
		}
		if sub.Site != site.ID {
			return sprout.InvalidField("subnet", "cannot set %s: subnet %s is not of site %s", o.Name, sub.CIDR, site.Name)
		}
		if six := sub.CIDR.Addr().Is6(); o.Version != 0 && six != (o.Version == 6) {
			return sprout.InvalidField("version", "cannot set %s: subnet %s is of the other version of IP", o.Name, sub.CIDR)
		}
		o.Subnet, o.Version = sub.ID, version(sub.CIDR.Addr().Is6())
	}
	if machine != "" {
		m, err := s.findRow(ctx, machine)
		if err != nil {
			return err
		}
		if m.Site != site.ID {
			return sprout.InvalidField("machine", "cannot set %s: machine %s is not of site %s", o.Name, m.Name, site.Name)
		}
		o.Machine = m.ID
	}
	return nil
}

func (s *Server) dhcpOptionList(ctx context.Context, in *api.ListOfSite) (out api.Page[sprout.DHCPSetting], err error) {
	sites, err := s.sitesOf(ctx, in.Site)
	if err != nil {
		return out, err
	}
	return paged(s.store.DHCPOptions(ctx, store.DHCPOptionFilter{Sites: sites, Page: page(in.Paging)}))
}

func (s *Server) dhcpOptionShow(ctx context.Context, in *api.DHCPOptionRef) (sprout.DHCPSetting, error) {
	return s.findDHCPOption(ctx, in.Option)
}

func (s *Server) findDHCPOption(ctx context.Context, ref string) (o sprout.DHCPSetting, err error) {
	defer func() { seen(ctx, err, o.Site, o.ID, o.Name) }()
	return s.store.DHCPOption(ctx, scope(ctx), ref)
}

func (s *Server) dhcpOptionUnset(ctx context.Context, in *api.DHCPOptionRef) (api.None, error) {
	o, err := s.findDHCPOption(ctx, in.Option)
	if err != nil {
		return api.None{}, err
	}
	return api.None{}, s.change(ctx, api.DHCPOptionUnset.Name, func(ctx context.Context, tx pgx.Tx, a *sprout.AuditRecord) error {
		about(a, o.Site, o.ID, o.Name)
		a.Changes = audit.Diff(o, nil)
		return s.store.UnsetDHCPOption(ctx, tx, o)
	})
}
