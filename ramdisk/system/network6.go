package system

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/dhcpv6/nclient6"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sprout"
)

// usableWait is how long an address of IPv6 may take until the kernel has asked
// whether another host has it (RFC 4862 section 5.4): one second, or two.
const usableWait = 10 * time.Second

// ask6 gets a lease of IPv6 and uses it: in two messages where the server agrees.
// What is a neighbour, and where routers are, the kernel learns by their
// advertisements.
func (p *Port) ask6(ctx context.Context) error {
	if err := p.awaitUsable(ctx, func(ip net.IP) bool { return ip.IsLinkLocalUnicast() }); err != nil {
		return fmt.Errorf("cannot speak IPv6 on %s: %w", p.Name, err)
	}
	c, err := nclient6.New(p.Name, nclient6.WithTimeout(askFor), nclient6.WithRetry(askTimes))
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // a socket that is done with
	me := &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: p.link.Attrs().HardwareAddr}
	reply, err := c.RapidSolicit(ctx, func(d dhcpv6.DHCPv6) { d.UpdateOption(dhcpv6.OptClientID(me)) })
	if err != nil {
		return err
	}
	given, err := givenAddress(reply)
	if err != nil {
		return err
	}
	if err := p.use6(ctx, given, reply); errors.Is(err, errTaken) {
		return errors.Join(err, decline(ctx, c, reply))
	} else if err != nil {
		return err
	}
	p.renewAfter = given.ValidLifetime / 2
	p.log.Info("address by DHCPv6", "port", p.Name, "mac", p.MAC, "ip", given.IPv6Addr, "lease", given.ValidLifetime)
	return nil
}

// givenAddress is the address of a reply, or why there is none.
func givenAddress(reply *dhcpv6.Message) (*dhcpv6.OptIAAddress, error) {
	ia := reply.Options.OneIANA()
	if ia != nil && ia.Options.OneAddress() != nil && ia.Options.OneAddress().ValidLifetime > 0 {
		return ia.Options.OneAddress(), nil
	}
	why := reply.Options.Status()
	if ia != nil && ia.Options.Status() != nil {
		why = ia.Options.Status()
	}
	if why != nil {
		return nil, fmt.Errorf("the server has no address for us: %s: %s", why.StatusCode, why.StatusMessage)
	}
	return nil, errors.New("the server has no address for us")
}

// use6 sets the address alone, not its network (RFC 8415 section 18.2.10.1).
func (p *Port) use6(ctx context.Context, given *dhcpv6.OptIAAddress, reply *dhcpv6.Message) error {
	alone := &net.IPNet{IP: given.IPv6Addr, Mask: net.CIDRMask(128, 128)}
	addr := &netlink.Addr{IPNet: alone, ValidLft: int(given.ValidLifetime / time.Second), PreferedLft: int(given.PreferredLifetime / time.Second)}
	if err := netlink.AddrReplace(p.link, addr); err != nil {
		return fmt.Errorf("cannot set address %s: %w", given.IPv6Addr, err)
	}
	if err := p.awaitUsable(ctx, given.IPv6Addr.Equal); err != nil {
		if delErr := netlink.AddrDel(p.link, addr); delErr != nil {
			p.log.Warn("cannot remove an address", "ip", given.IPv6Addr, "error", delErr)
		}
		return fmt.Errorf("cannot use address %s: %w", given.IPv6Addr, err)
	}
	return resolveBy(reply.Options.DNS())
}

// errTaken says that another host has the address.
var errTaken = errors.New("another host has it")

// awaitUsable waits until the port has an address that is right and that nobody
// else has.
func (p *Port) awaitUsable(ctx context.Context, right func(net.IP) bool) error {
	for began := time.Now(); time.Since(began) < usableWait; {
		all, err := netlink.AddrList(p.link, netlink.FAMILY_V6)
		if err != nil {
			return err
		}
		for _, a := range all {
			switch {
			case !right(a.IP):
			case a.Flags&unix.IFA_F_DADFAILED != 0:
				return errTaken
			case a.Flags&unix.IFA_F_TENTATIVE == 0:
				return nil
			}
		}
		if err := sprout.Pause(ctx, poll); err != nil {
			return err
		}
	}
	return fmt.Errorf("there is none after %s", usableWait)
}

// decline tells the server that the address of its reply is another host's.
func decline(ctx context.Context, c *nclient6.Client, reply *dhcpv6.Message) error {
	m, err := dhcpv6.NewMessage()
	if err != nil {
		return err
	}
	m.MessageType = dhcpv6.MessageTypeDecline
	for _, code := range []dhcpv6.OptionCode{dhcpv6.OptionClientID, dhcpv6.OptionServerID, dhcpv6.OptionIANA} {
		if o := reply.GetOneOption(code); o != nil {
			m.AddOption(o)
		}
	}
	m.AddOption(dhcpv6.OptElapsedTime(0))
	_, err = c.SendAndRead(ctx, c.RemoteAddr(), m, nclient6.IsMessageType(dhcpv6.MessageTypeReply))
	return err
}
