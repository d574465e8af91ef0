package builtin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"go4.org/netipx"

	"sprout"
)

// someSubnets is how many of what fills a prefix are named.
const someSubnets = 5

// NextSubnet implements network.Provider.
func (p Provider) NextSubnet(ctx context.Context, sub sprout.Subnet, next sprout.NextPrefix) (sprout.Subnet, error) {
	existing, n, err := p.of(ctx, sub.Site, sub.Network)
	if err != nil {
		return sub, err
	}
	if sub, err = Place(existing, n, sub, next); err != nil {
		return sub, err
	}
	return sub, CheckSubnet("", existing, n, n.Subnets, sub)
}

// CreateNextSubnet implements network.Provider. Where somebody else has taken the
// prefix since it was found free, another is looked for: each time somebody has
// got on.
func (p Provider) CreateNextSubnet(ctx context.Context, sub sprout.Subnet, next sprout.NextPrefix) (sprout.Subnet, error) {
	var tried netip.Prefix
	var taken error
	for {
		placed, err := p.NextSubnet(ctx, sub, next)
		if err != nil || placed.CIDR == tried {
			return placed, errors.Join(err, taken)
		}
		made, err := p.Ledger.KeepSubnet(ctx, placed)
		if sprout.KindOf(err) != sprout.Conflict {
			return made, err
		}
		tried, taken = placed.CIDR, err
	}
}

// Place gives sub the lowest prefix that next asks for and that no subnet in the
// VRF of n has a part of, and the gateway in it. Invalid: no such prefix can be;
// Conflict, which says what is there: none is free.
func Place(existing []sprout.Network, n sprout.Network, sub sprout.Subnet, next sprout.NextPrefix) (sprout.Subnet, error) {
	if err := CheckCIDR("from", next.From); err != nil {
		return sub, err
	}
	if next.Bits < next.From.Bits() || next.Bits > next.From.Addr().BitLen() {
		return sub, sprout.InvalidField("prefix", "no /%d lies in %s: say %d to %d", next.Bits, next.From, next.From.Bits(), next.From.Addr().BitLen())
	}
	var free netipx.IPSetBuilder
	free.AddPrefix(next.From)
	var filled []string
	for _, e := range existing {
		for _, o := range e.Subnets {
			if e.VRF == n.VRF && o.CIDR.Overlaps(next.From) {
				free.RemovePrefix(o.CIDR)
				filled = append(filled, fmt.Sprintf("%s (%s)", o.CIDR, e.Name))
			}
		}
	}
	set, err := free.IPSet()
	if err != nil {
		return sub, fmt.Errorf("cannot tell what is free of %s: %w", next.From, err)
	}
	var largest netip.Prefix
	for _, p := range set.Prefixes() { // each as large as it can be, in order
		if p.Bits() <= next.Bits {
			sub.CIDR = netip.PrefixFrom(p.Addr(), next.Bits)
			sub.Gateway, err = gatewayOf(sub.CIDR, next, sub.Gateway)
			return sub, err
		}
		if !largest.IsValid() || p.Bits() < largest.Bits() {
			largest = p
		}
	}
	return sub, full(next, filled, largest)
}

// full says that no such prefix is free, what is there, and what there is still.
func full(next sprout.NextPrefix, filled []string, largest netip.Prefix) error {
	said := strings.Join(filled[:min(len(filled), someSubnets)], ", ")
	if more := len(filled) - someSubnets; more > 0 {
		said += fmt.Sprintf(" and %d more", more)
	}
	e := sprout.Errorf(sprout.Conflict, "no /%d is free in %s: it is full of %s", next.Bits, next.From, said)
	e.Field = "from"
	if !largest.IsValid() {
		return e.WithRemedy("sprout subnet list, then another --from")
	}
	return e.WithRemedy("--prefix %d, the largest that is free there, or another --from", largest.Bits())
}

// gatewayOf is the gateway in a prefix that was found: the first or last address
// that a host may have, if next says so.
func gatewayOf(p netip.Prefix, next sprout.NextPrefix, given netip.Addr) (netip.Addr, error) {
	first, last := p.Addr(), netipx.PrefixLastIP(p)
	if first.BitLen()-p.Bits() > 1 { // neither the network's own nor the broadcast address
		first = first.Next()
		if last.Is4() {
			last = last.Prev()
		}
	}
	switch next.Gateway {
	case "":
		return given, nil
	case sprout.FirstHost:
		return first, nil
	case sprout.LastHost:
		return last, nil
	}
	return given, sprout.InvalidField("gateway", "must be %s or %s, not %q", sprout.FirstHost, sprout.LastHost, next.Gateway)
}
