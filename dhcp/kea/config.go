package kea

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"sprout"
	"sprout/dhcp/builtin"
)

// A Ledger is what the server knows of its site. The agent's store is one. What
// its lists return the caller does not change.
type Ledger interface {
	// Subnets lists the subnets of the site.
	Subnets() []sprout.Subnet
	// Reserved lists the addresses kept for machines.
	Reserved() []sprout.Reservation
	// Machines lists the machines of the site.
	Machines() []sprout.SiteMachine
	// DHCPOptions returns what is set for the clients of a subnet, and for a
	// machine ("": the client is none).
	DHCPOptions(subnet sprout.SubnetID, machine sprout.MachineID) sprout.DHCPOptions
	// Changed is closed at the next change of any of these, or of the domain.
	Changed() <-chan struct{}
	// Reservation returns the address kept for a MAC (lower case, colons).
	Reservation(mac string) (sprout.Reservation, bool)
	// Known returns the machine that has the MAC.
	Known(mac string) (sprout.SiteMachine, bool)
	// LeaseByClient returns the newest lease of a MAC in a subnet.
	LeaseByClient(subnet sprout.SubnetID, mac string) (sprout.Lease, bool)
	// Leases lists the newest lease of every address.
	Leases() []sprout.Lease
	// SaveLeases returns once all are durable.
	SaveLeases(ctx context.Context, all ...sprout.Lease) error
}

// A Config says which Kea answers, and for whom.
type Config struct {
	// Socket is the path of Kea's control socket; empty: DefaultSocket.
	Socket string
	// Hooks is the directory of Kea's hook libraries; empty: where Debian has it.
	Hooks string
	// TakeOver allows to replace subnets that Kea has from elsewhere.
	TakeOver bool
	// Interface is the device that Kea listens on where its own configuration
	// names none. Empty: that must name one.
	Interface string
	// Address is the agent's: the next server, and the name server where a
	// subnet names none.
	Address netip.Addr
	// VRF is the agent's own, where prefixes of two overlap.
	VRF string
	// Ledger is what is known of the site.
	Ledger Ledger
	// BootURL is where boot.Handler serves, without a final slash; empty:
	// http://Address.
	BootURL string
	// Loaders is the table from firmware to boot file; nil: builtin's.
	Loaders []builtin.Loader
	// Domain returns the domain of the site's machines; nil or "": none.
	Domain func() string
	// LeaseTime is how long an address is given for; 0: 10 minutes.
	LeaseTime time.Duration
	// Trouble is told what is wrong with Kea, and that it is over by an empty
	// reason; nil: nobody is. The codes are Codes.
	Trouble func(code sprout.Code, reason, evidence string)
	// Events is told what each boot was seen to do on Interface; nil: nobody is.
	// It must not block.
	Events func(sprout.BootEvent)
	// Log takes what is worth reading later; nil: nothing is logged.
	Log *slog.Logger
	// Now is the clock of the leases that are saved; nil: time.Now.
	Now func() time.Time
}

// DefaultSocket is where Kea of Debian has its control socket.
const DefaultSocket = "/run/kea/kea4-ctrl-socket"

// Codes are the problems that a Server may tell.
var Codes = []sprout.Code{sprout.KeaUnreachable, sprout.KeaRefused, sprout.KeaChanged}

// check says what is wrong with the configuration, by field.
func (c Config) check() error {
	switch {
	case c.Ledger == nil:
		return sprout.InvalidField("ledger", "cannot serve DHCP without a ledger")
	case !c.Address.Is4() || c.Address.IsUnspecified():
		return sprout.InvalidField("address", "cannot serve DHCP as %s: an IPv4 address of this host is needed", c.Address)
	case c.LeaseTime != 0 && c.LeaseTime < time.Second:
		return sprout.InvalidField("leaseTime", "cannot lease for %s: 1 s or more is allowed", c.LeaseTime)
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.Socket == "" {
		c.Socket = DefaultSocket
	}
	if c.BootURL == "" {
		c.BootURL = "http://" + c.Address.String()
	}
	if c.Loaders == nil {
		c.Loaders = builtin.DefaultLoaders
	}
	if c.Domain == nil {
		c.Domain = func() string { return "" }
	}
	if c.LeaseTime == 0 {
		c.LeaseTime = 10 * time.Minute
	}
	if c.Trouble == nil {
		c.Trouble = func(sprout.Code, string, string) {}
	}
	if c.Events == nil {
		c.Events = func(sprout.BootEvent) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}
