package server

import (
	"context"
	"net/netip"

	"sprout"
	"sprout/alloc"
	"sprout/api"
)

// wanted reads what an allocated machine must meet, and at which sites it may be.
func (s *Server) wanted(ctx context.Context, c api.Constraints) (sites sprout.Sites, want alloc.Request, err error) {
	if sites, err = s.sitesOf(ctx, c.Site); err != nil {
		return nil, want, err
	}
	want = alloc.Request{
		Site: sites.Only(), Architecture: c.Architecture, BootMode: c.BootMode, Model: c.Model, CPU: c.CPU, MinCores: c.MinCores, MinMemory: c.MinMemory,
		MinDisk: c.MinDisk, MinDisks: c.MinDisks, Disks: c.Disks, MinNICs: c.MinNICs, MinSpeed: c.MinSpeed, PCI: c.PCI, Tags: c.Tags, NotTags: c.NotTags,
		Pool: c.Pool, Zone: c.Zone,
	}
	if want.Labels, err = sprout.ParseSelector(c.Labels); err != nil {
		return nil, want, err
	}
	if want.Networks, err = s.networksNamed(ctx, sites, c.Networks); err != nil {
		return nil, want, err
	}
	if c.Subnet != "" {
		if want.Subnet, err = netip.ParsePrefix(c.Subnet); err != nil {
			return nil, want, sprout.InvalidField("subnet", "%q is no prefix such as 10.0.0.0/24", c.Subnet)
		}
	}
	want.Name, err = s.nameOf(ctx, c.Name)
	return sites, want, err
}

// networksNamed finds which of the sites have each network. NotFound if none has
// one.
func (s *Server) networksNamed(ctx context.Context, sites sprout.Sites, names []string) ([]alloc.Network, error) {
	if len(names) == 0 {
		return nil, nil
	}
	networks, err := s.store.Networks(ctx, sites)
	if err != nil {
		return nil, err
	}
	var out []alloc.Network
	for _, name := range names {
		named := alloc.Network{Name: name}
		for _, n := range networks {
			if n.Name == name {
				named.Sites = append(named.Sites, n.Site)
			}
		}
		if len(named.Sites) == 0 {
			e := sprout.Errorf(sprout.NotFound, "cannot find network %q at any site that a machine could be of", name)
			e.Field = "networks"
			return nil, e.WithRemedy("sprout network list")
		}
		out = append(out, named)
	}
	return out, nil
}

// nameOf turns a reference into the machine's name, "" for "".
func (s *Server) nameOf(ctx context.Context, ref string) (string, error) {
	if ref == "" {
		return "", nil
	}
	m, err := s.findRow(ctx, ref)
	return m.Name, err
}
