package builtin

import (
	"context"
	"net/netip"

	"sprout"
)

// A Ledger is what the server knows of its site. The agent's store is one;
// dhcptest.Run is the contract. Reads never block on writes.
//
// A client's key is its lease's ClientID where that is not empty, else its MAC
// (lower case, colons). Keys of one form never look like the other.
type Ledger interface {
	// Subnets lists the subnets of the site. The caller does not change them.
	Subnets() []sprout.Subnet
	// Reservation returns the address kept for a MAC.
	Reservation(mac string) (sprout.Reservation, bool)
	// Known returns the machine that has the MAC.
	Known(mac string) (sprout.SiteMachine, bool)
	// DHCPOptions returns what operators set for the clients of a subnet and for
	// a machine ("": none). The caller does not change it.
	DHCPOptions(subnet sprout.SubnetID, machine sprout.MachineID) sprout.DHCPOptions
	// LeaseByClient returns the newest lease of a key in a subnet, in whatever
	// state and also when it has expired. A client whose address was given to
	// another since has none.
	LeaseByClient(subnet sprout.SubnetID, key string) (sprout.Lease, bool)
	// LeaseAt returns the newest lease of an address of a subnet, in whatever
	// state: two VRFs may have the same address.
	LeaseAt(subnet sprout.SubnetID, ip netip.Addr) (sprout.Lease, bool)
	// LeaseByIP is LeaseAt of whichever subnet's lease ends last.
	LeaseByIP(ip netip.Addr) (sprout.Lease, bool)
	// SaveLeases makes each lease the newest of its address and of its client,
	// in this order, and returns once all are durable. Callers at the same time
	// share one commit. After an error nothing has changed.
	SaveLeases(ctx context.Context, all ...sprout.Lease) error
	// Leases lists the newest lease of every address.
	Leases() []sprout.Lease
}
