package builtin

import "sprout"

// CheckServed says whether a site may serve a subnet beside those that it serves:
// nil, or an error that names the field. The centre checks more, with all that it
// knows; this is what a site can see of what reaches it.
func CheckServed(sub sprout.Subnet, others []sprout.Subnet) error {
	n := sprout.Network{ID: sub.Network, VRF: sub.VRF, MTU: mostMTU}
	if err := CheckSubnet("", nil, n, nil, sub); err != nil {
		return err
	}
	for _, o := range others {
		if o.VRF == sub.VRF && o.CIDR.Overlaps(sub.CIDR) {
			return conflict("cidr", "%s overlaps %s, which the site serves", sub.CIDR, o.CIDR)
		}
	}
	return nil
}
