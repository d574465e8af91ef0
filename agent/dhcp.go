package agent

import (
	"context"
	"net/netip"
	"time"

	"sprout"
	"sprout/dhcp"
	"sprout/dhcp/builtin"
	"sprout/dhcp/builtin6"
	"sprout/dhcp/kea"
	"sprout/provider"
	"sprout/sitestore"
)

// DHCP says who answers DHCP of IPv4 at the site. That of IPv6 the agent does.
type DHCP struct {
	// Provider is builtin or kea; empty: builtin.
	Provider string `json:"provider,omitempty" yaml:"provider,omitempty"`
	Kea      Kea    `json:"kea,omitzero" yaml:"kea,omitempty"`
}

// Kea says which one, where it is the provider.
type Kea struct {
	// Socket is the path of kea-dhcp4's control socket; empty:
	// /run/kea/kea4-ctrl-socket.
	Socket string `json:"socket,omitempty" yaml:"socket,omitempty"`
	// Hooks is the directory of Kea's hook libraries; empty: where Debian has it.
	Hooks string `json:"hooks,omitempty" yaml:"hooks,omitempty"`
	// TakeOver allows to replace subnets, classes and hosts that others configured.
	TakeOver bool `json:"takeOver,omitempty" yaml:"takeOver,omitempty"`
}

// served is who answers DHCP of IPv4 now.
type served struct{ dhcp.Provider }

// keaProvider is the name of the provider in the list.
const keaProvider = "kea"

func (d DHCP) check(address netip.Prefix) error {
	if err := provider.OfSite("dhcp", d.Provider); err != nil {
		return err
	}
	switch {
	case d.Provider != keaProvider && d.Kea != (Kea{}):
		return sprout.InvalidField("dhcp.kea", "cannot be set without Kea as the provider").WithRemedy("dhcp.provider: kea")
	case d.Provider == keaProvider && !address.IsValid():
		return sprout.InvalidField("dhcp.provider", "Kea serves IPv4 here, and the agent has no IPv4 address: set address")
	}
	return nil
}

// leaser makes the DHCP server of the address's version of IP.
func (s *site) leaser(own netip.Addr) (server dhcp.Provider, err error) {
	c := s.config
	switch {
	case own.Is6():
		return s.leaser6(own)
	case c.DHCP.Provider == keaProvider:
		var k *kea.Server
		k, err = kea.New(kea.Config{
			Socket: c.DHCP.Kea.Socket, Hooks: c.DHCP.Kea.Hooks, TakeOver: c.DHCP.Kea.TakeOver, Interface: c.Interface, Address: own, VRF: c.VRF,
			Ledger: s.store, BootURL: c.url(own), Domain: s.store.Domain, Trouble: s.troubles.Set, Events: s.boots.tell, Log: s.log, Now: s.clock.Now,
		})
		s.kea.Store(k)
		server = k
	default:
		server, err = builtin.New(builtin.Config{
			Interface: c.Interface, Address: own, VRF: c.VRF, Port: c.Ports.DHCP, ClientPort: c.Ports.DHCPClient,
			Ledger: s.store, BootURL: c.url(own), Domain: s.store.Domain, Log: s.log, Events: s.boots.tell,
			Others: s.rogues.Named, Now: s.clock.Now,
		})
	}
	if err == nil {
		s.leases.Store(&served{server})
	}
	return server, err
}

func (s *site) leaser6(own netip.Addr) (dhcp.Provider, error) {
	c := s.config
	duid, err := s.store.DUID(context.Background())
	if err != nil {
		return nil, err
	}
	server, err := builtin6.New(builtin6.Config{
		Interface: c.Interface, Address: own, VRF: c.VRF, DUID: duid, Port: c.Ports.DHCP6, ClientPort: c.Ports.DHCP6Client,
		Ledger: s.store, BootURL: c.url(own), Domain: s.store.Domain, Log: s.log, Events: s.boots.tell, Others: s.rogues.Named6, Now: s.clock.Now,
	})
	if err == nil {
		s.leases6.Store(server)
	}
	return server, err
}

// askKea is how long Kea may take to say who has an address.
const askKea = time.Second

// leaseByIP returns the newest lease of an address. Kea is asked for its own, as
// what was read of it may be half a second old: a machine boots on sooner.
func (s *site) leaseByIP(ip netip.Addr) (sprout.Lease, bool) {
	if k := s.kea.Load(); k != nil && ip.Unmap().Is4() {
		ctx, cancel := context.WithTimeout(context.Background(), askKea)
		defer cancel()
		if l, ok, err := k.Lease(ctx, ip.Unmap()); err == nil {
			return l, ok
		}
	}
	return s.store.LeaseByIP(ip)
}

// A ledger is the store as booting sees it, with the leases of whoever gives them.
type ledger struct {
	*sitestore.Store
	site *site
}

// LeaseByIP returns the newest lease of an address.
func (l ledger) LeaseByIP(ip netip.Addr) (sprout.Lease, bool) { return l.site.leaseByIP(ip) }
