package boot

import (
	"context"
	"net/netip"

	"sprout"
)

// A Ledger is what booting needs to know of the site. The agent's store is one.
type Ledger interface {
	// Intent returns what the machine shall boot next. Expired ones may be
	// returned: Decide looks at ExpiresAt.
	Intent(machine sprout.MachineID) (sprout.Intent, bool)
	// MachineByMAC returns the machine that has the MAC (lower case, colons).
	MachineByMAC(mac string) (sprout.SiteMachine, bool)
	// SubnetOf returns the site's subnet that contains ip.
	SubnetOf(ip netip.Addr) (sprout.Subnet, bool)
	// Reservation returns the address kept for a MAC.
	Reservation(mac string) (sprout.Reservation, bool)
	// LeaseByIP returns the newest lease of an address, in whatever state.
	LeaseByIP(ip netip.Addr) (sprout.Lease, bool)
	// StartDiscovery makes a short-lived intent with purpose discover for a
	// MAC that no machine has, or returns the one that still stands: firmware
	// asks more than once in a boot.
	StartDiscovery(ctx context.Context, mac string, ip netip.Addr) (sprout.Intent, error)
}
