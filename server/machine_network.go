package server

import (
	"context"
	"errors"
	"net/netip"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/audit"
	"sprout/netconfig"
)

func (s *Server) machineNetworkShow(ctx context.Context, in *api.MachineRef) (c sprout.NetworkConfig, err error) {
	m, err := s.findRow(ctx, in.Machine)
	if err != nil {
		return c, err
	}
	kept, err := s.store.MachineNetwork(ctx, m.ID)
	if err != nil || kept == nil {
		return asWritten(c, nil), err
	}
	networks, err := s.store.Networks(ctx, sprout.At(m.Site))
	return asWritten(*kept, networks), err
}

// asWritten is a configuration as people write one: with the prefixes of subnets,
// where only one of the site has them.
func asWritten(c sprout.NetworkConfig, networks []sprout.Network) sprout.NetworkConfig {
	prefixes, times := map[string]string{}, map[string]int{}
	for _, n := range networks {
		for _, sub := range n.Subnets {
			prefixes[string(sub.ID)] = sub.CIDR.String()
			times[sub.CIDR.String()]++
		}
	}
	out := sprout.NetworkConfig{Interfaces: []sprout.InterfaceConfig{}}
	for _, f := range c.Interfaces {
		var list []sprout.StaticAddress
		for _, a := range f.Addresses {
			if prefix := prefixes[a.Subnet]; times[prefix] == 1 {
				a.Subnet = prefix
			}
			list = append(list, a)
		}
		f.Addresses = list
		out.Interfaces = append(out.Interfaces, f)
	}
	return out
}

func (s *Server) machineNetworkSet(ctx context.Context, in *api.SetMachineNetwork) (c sprout.NetworkConfig, err error) {
	m, err := s.findMachine(ctx, in.Machine)
	if err != nil {
		return c, err
	}
	if len(in.Body.Interfaces) == 0 {
		return asWritten(c, nil), s.changeMachineNetwork(ctx, m, nil)
	}
	around := s.look()
	if c, err = around.checkedNetwork(ctx, m, in.Body); err != nil {
		return c, err
	}
	if err := s.changeMachineNetwork(ctx, m, &c); err != nil {
		return c, err
	}
	networks, err := around.networksOf(ctx, m.Site)
	return asWritten(c, networks), err
}

// changeMachineNetwork keeps a configuration, or none.
func (s *Server) changeMachineNetwork(ctx context.Context, m sprout.Machine, c *sprout.NetworkConfig) error {
	return s.change(ctx, api.MachineNetworkSet.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) error {
		about(r, m.Site, m.ID, m.Name)
		before, err := s.store.In(tx).MachineNetwork(ctx, m.ID)
		if err != nil {
			return err
		}
		r.Changes = audit.Diff(map[string]any{"network": before}, map[string]any{"network": c})
		return s.store.SetMachineNetwork(ctx, tx, m.ID, c)
	})
}

// checkedNetwork holds a configuration against what the site is like now.
func (a *surroundings) checkedNetwork(ctx context.Context, m sprout.Machine, c sprout.NetworkConfig) (sprout.NetworkConfig, error) {
	networks, err := a.networksOf(ctx, m.Site)
	if err != nil {
		return c, err
	}
	model := netconfig.Model{Machine: m, Networks: networks}
	for _, f := range c.Interfaces {
		for _, want := range f.Addresses {
			ip, err := netip.ParseAddr(want.IP)
			if err != nil {
				continue // none, or netconfig says what is wrong with it
			}
			held, err := a.store.FindAddresses(ctx, sprout.At(m.Site), ip.String())
			if err != nil {
				return c, err
			}
			model.Held = append(model.Held, held...)
		}
	}
	return netconfig.Check(c, model)
}

// networkFor is what a deploy shall configure: the machine's own configuration,
// as the site is now, or nil.
func (a *surroundings) networkFor(ctx context.Context, m sprout.Machine, chosen string) (*sprout.NetworkConfig, error) {
	kept, err := a.store.MachineNetwork(ctx, m.ID)
	if err != nil || kept == nil {
		return nil, err
	}
	if chosen != "" {
		return nil, sprout.InvalidField("network", "machine %s has a network configuration, which says where its addresses come from", m.Name).
			WithRemedy("sprout machine network show %s", m.Name)
	}
	c, err := a.checkedNetwork(ctx, m, *kept)
	var known *sprout.Error
	if errors.As(err, &known) {
		e := sprout.Errorf(known.Kind, "the network configuration of %s does not fit its site any more: %s: %s", m.Name, known.Field, known.Message)
		e.Field = "network"
		return nil, e.WithRemedy("sprout machine network set %s --file FILE", m.Name)
	}
	return &c, err
}
