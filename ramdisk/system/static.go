package system

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
)

// A Static is the address of a machine that has no DHCP, as the command line says
// it: sprout.ip=10.20.0.7/24, sprout.gateway=10.20.0.1, sprout.dns=10.20.0.1,10.20.0.2.
type Static struct {
	Address netip.Prefix // zero: there is DHCP
	Gateway netip.Addr   // zero: none
	DNS     []netip.Addr
}

// Static reads the address; the zero Static where none is said.
func (c Cmdline) Static() (s Static, err error) {
	word := c["sprout.ip"]
	if word == "" {
		return s, nil
	}
	if s.Address, err = netip.ParsePrefix(word); err != nil {
		return Static{}, fmt.Errorf("cannot use sprout.ip= of the kernel's command line: %w", err)
	}
	if word = c["sprout.gateway"]; word != "" {
		if s.Gateway, err = netip.ParseAddr(word); err != nil {
			return Static{}, fmt.Errorf("cannot use sprout.gateway= of the kernel's command line: %w", err)
		}
	}
	if c["sprout.dns"] == "" {
		return s, nil
	}
	for _, word := range strings.Split(c["sprout.dns"], ",") {
		ip, err := netip.ParseAddr(word)
		if err != nil {
			return Static{}, fmt.Errorf("cannot use sprout.dns= of the kernel's command line: %w", err)
		}
		s.DNS = append(s.DNS, ip)
	}
	return s, nil
}

// useStatic gives the port its address, and waits until it can be used.
func (p *Port) useStatic(ctx context.Context, s Static) error {
	ip := s.Address.Addr()
	whole := &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(s.Address.Bits(), ip.BitLen())}
	if err := netlink.AddrReplace(p.link, &netlink.Addr{IPNet: whole}); err != nil {
		return fmt.Errorf("cannot set address %s: %w", s.Address, err)
	}
	if ip.Is6() {
		if err := p.awaitUsable(ctx, net.IP(ip.AsSlice()).Equal); err != nil {
			return fmt.Errorf("cannot use address %s: %w", ip, err)
		}
	}
	if s.Gateway.IsValid() {
		if err := netlink.RouteReplace(&netlink.Route{LinkIndex: p.link.Attrs().Index, Gw: s.Gateway.AsSlice()}); err != nil {
			return fmt.Errorf("cannot set route by %s: %w", s.Gateway, err)
		}
	}
	if err := resolveBy(s.DNS); err != nil {
		return err
	}
	p.log.Info("address by the command line", "port", p.Name, "mac", p.MAC, "ip", s.Address, "gateway", s.Gateway)
	return nil
}
