package system

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"

	"sprout"
)

const (
	// portWait is how long the boot port may take to be found, linkWait how
	// long a link that is down is waited for before an address is asked for
	// all the same; both are said aloud and begin anew.
	portWait = 20 * time.Second
	linkWait = 40 * time.Second
	// askFor is the patience of one DHCP exchange, and askTimes its tries.
	askFor   = 2 * time.Second
	askTimes = 3
	poll     = 50 * time.Millisecond
)

// A Port is the one this machine booted from, with the address it got.
type Port struct {
	Name       string
	MAC        string
	renewAfter time.Duration
	ask        func(context.Context) error // for a lease, and use it
	link       netlink.Link
	log        *slog.Logger
}

// Address is where the port is reached: the first address that is not of the link
// alone, of IPv4 if it has one.
func (p *Port) Address() (netip.Addr, error) {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		all, err := netlink.AddrList(p.link, family)
		if err != nil {
			return netip.Addr{}, fmt.Errorf("cannot list the addresses of %s: %w", p.Name, err)
		}
		for _, a := range all {
			if ip, ok := netip.AddrFromSlice(a.IP); ok && !ip.Unmap().IsLinkLocalUnicast() {
				return ip.Unmap(), nil
			}
		}
	}
	return netip.Addr{}, fmt.Errorf("port %s has no address", p.Name)
}

// Connect brings up every port, and gives the one that the machine booted from
// (not said: the first with a link) its address: the one of the command line, or by
// DHCP, or by DHCPv6 where the agent is to be reached over IPv6. It tries until it
// succeeds or the context ends, and says why it does not.
func Connect(ctx context.Context, c Cmdline, log *slog.Logger) (*Port, error) {
	fixed, err := c.Static()
	if err != nil {
		return nil, err
	}
	for {
		link, err := findPort(ctx, c.BootMAC(), log)
		if err != nil {
			return nil, err
		}
		p := &Port{Name: link.Attrs().Name, MAC: link.Attrs().HardwareAddr.String(), link: link, log: log}
		p.ask = p.ask4
		switch {
		case fixed.Address.IsValid():
			p.ask = func(ctx context.Context) error { return p.useStatic(ctx, fixed) }
		case c.OverIPv6():
			p.ask = p.ask6
		}
		if err := p.waitLink(ctx); err != nil {
			return nil, err
		}
		err = p.ask(ctx)
		if err == nil {
			return p, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if fixed.Address.IsValid() {
			log.Error("cannot use the address; trying again", "port", p.Name, "mac", p.MAC, "ip", fixed.Address, "error", err)
			if err := sprout.Pause(ctx, askFor); err != nil {
				return nil, err
			}
			continue
		}
		log.Error("no address by DHCP; trying again", "port", p.Name, "mac", p.MAC, "error", err,
			"check", "is there a DHCP server on this segment, and may this machine have an address?")
	}
}

// findPort waits for the port.
func findPort(ctx context.Context, mac string, log *slog.Logger) (netlink.Link, error) {
	began := time.Now()
	for {
		ports, err := RaisePorts(log)
		if err != nil {
			return nil, err
		}
		var seen []string
		for _, l := range ports {
			a := l.Attrs()
			if mac == a.HardwareAddr.String() || mac == "" && hasLink(l) {
				return l, nil
			}
			seen = append(seen, a.Name+"="+a.HardwareAddr.String())
		}
		if time.Since(began) > portWait {
			log.Error("the boot port is not there; waiting on", "mac", mac, "ports", strings.Join(seen, " "),
				"check", "does the ramdisk have a driver for it?")
			began = time.Now()
		}
		if err := sprout.Pause(ctx, poll); err != nil {
			return nil, err
		}
	}
}

// RaisePorts brings up every port that is down, for only a port that is up
// knows whether it has a link, and returns them all.
func RaisePorts(log *slog.Logger) ([]netlink.Link, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("cannot list ports: %w", err)
	}
	var ports []netlink.Link
	for _, l := range links {
		a := l.Attrs()
		if a.Flags&net.FlagUp == 0 {
			if err := netlink.LinkSetUp(l); err != nil {
				log.Warn("cannot bring up port", "port", a.Name, "error", err)
			}
		}
		if len(a.HardwareAddr) == 6 && a.Flags&net.FlagLoopback == 0 {
			ports = append(ports, l)
		}
	}
	return ports, nil
}

// WaitLinks raises every port and waits until each has a link, or the time has
// come: the rest have no cable.
func WaitLinks(ctx context.Context, until time.Time, log *slog.Logger) error {
	for {
		ports, err := RaisePorts(log)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(ports, func(l netlink.Link) bool { return !hasLink(l) }) || time.Now().After(until) {
			return nil
		}
		if err := sprout.Pause(ctx, poll); err != nil {
			return err
		}
	}
}

func hasLink(l netlink.Link) bool {
	raw, err := os.ReadFile("/sys/class/net/" + l.Attrs().Name + "/carrier")
	return err == nil && strings.TrimSpace(string(raw)) == "1"
}

func (p *Port) waitLink(ctx context.Context) error {
	for began := time.Now(); !hasLink(p.link); {
		if time.Since(began) > linkWait {
			p.log.Error("the boot port has no link; asking for an address all the same", "port", p.Name, "mac", p.MAC, "check", "the cable and the switch port")
			return nil
		}
		if err := sprout.Pause(ctx, poll); err != nil {
			return err
		}
	}
	return nil
}

// ask4 gets a lease of IPv4 and uses it.
func (p *Port) ask4(ctx context.Context) error {
	c, err := nclient4.New(p.Name, nclient4.WithTimeout(askFor), nclient4.WithRetry(askTimes))
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // a socket that is done with
	lease, err := c.Request(ctx, dhcpv4.WithOption(dhcpv4.OptClassIdentifier("sprout-ramdisk")))
	if err != nil {
		return err
	}
	p.renewAfter = lease.ACK.IPAddressLeaseTime(24*time.Hour) / 2
	return p.use4(lease.ACK)
}

func (p *Port) use4(ack *dhcpv4.DHCPv4) error {
	mask := ack.SubnetMask()
	if mask == nil {
		mask = ack.YourIPAddr.DefaultMask()
	}
	if err := netlink.AddrReplace(p.link, &netlink.Addr{IPNet: &net.IPNet{IP: ack.YourIPAddr, Mask: mask}}); err != nil {
		return fmt.Errorf("cannot set address %s: %w", ack.YourIPAddr, err)
	}
	routers := ack.Router()
	for _, gw := range routers[:min(1, len(routers))] {
		if err := netlink.RouteReplace(&netlink.Route{LinkIndex: p.link.Attrs().Index, Gw: gw}); err != nil {
			return fmt.Errorf("cannot set route by %s: %w", gw, err)
		}
	}
	if err := resolveBy(ack.DNS()); err != nil {
		return err
	}
	p.log.Info("address by DHCP", "port", p.Name, "mac", p.MAC, "ip", ack.YourIPAddr, "from", ack.ServerIdentifier(),
		"lease", ack.IPAddressLeaseTime(24*time.Hour))
	return nil
}

// resolveBy sets the name servers.
func resolveBy[A fmt.Stringer](servers []A) error {
	var resolv strings.Builder
	for _, s := range servers {
		fmt.Fprintf(&resolv, "nameserver %s\n", s)
	}
	if err := os.WriteFile("/etc/resolv.conf", []byte(resolv.String()), 0o644); err != nil {
		return fmt.Errorf("cannot set name servers: %w", err)
	}
	return nil
}

// Keep renews the lease, at half its time (T1 of RFC 2131 section 4.4.5; of RFC
// 8415 it is the server's to say), until the context ends. An address that no
// server gave needs none.
func (p *Port) Keep(ctx context.Context) {
	for p.renewAfter > 0 {
		if sprout.Pause(ctx, max(p.renewAfter, 5*time.Second)) != nil {
			return
		}
		if err := p.ask(ctx); err != nil && ctx.Err() == nil {
			p.log.Warn("cannot renew the lease", "port", p.Name, "error", err)
		}
	}
}
