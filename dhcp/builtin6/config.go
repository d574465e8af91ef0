package builtin6

import (
	"log/slog"
	"net/netip"
	"time"

	"sprout"
	"sprout/dhcp/builtin"
)

// A Config says where and for whom a Server answers.
type Config struct {
	// Interface is the network device of the provisioning network. Empty:
	// answer relays only, on Address.
	Interface string
	// Address is the agent's on the provisioning network: where boot files are,
	// and the name server where a subnet names none.
	Address netip.Addr
	// VRF is the one that Address is in, where prefixes of two overlap; empty: the
	// site's usual one.
	VRF string
	// DUID is what the server is known by. It must not change.
	DUID []byte
	// Port is the UDP port of the server; 0: 547.
	Port uint16
	// ClientPort is the UDP port of clients; 0: 546.
	ClientPort uint16
	// Ledger is what is known of the site.
	Ledger Ledger
	// BootURL is where boot.Handler serves, as http://[fd00::1]:8080; empty:
	// http://[Address].
	BootURL string
	// Loaders is the table from firmware to boot file; nil: builtin.DefaultLoaders.
	Loaders []builtin.Loader
	// Domain returns the domain of the site's machines; nil or "": none.
	Domain func() string
	// LeaseTime is how long an address is valid; 0: 10 minutes.
	LeaseTime time.Duration
	// Workers is how many messages are worked on at once; 0: 64.
	Workers int
	// Log takes what is worth reading later; nil: nothing is logged.
	Log *slog.Logger
	// Events is told what each boot was seen to do; nil: nobody is. It is
	// called by the workers and must not block.
	Events func(sprout.BootEvent)
	// Others is told the DUID of each other server that a client names as its own;
	// nil: nobody is. It must not block.
	Others func(duid []byte)
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.Port == 0 {
		c.Port = serverPort
	}
	if c.ClientPort == 0 {
		c.ClientPort = clientPort
	}
	if c.BootURL == "" {
		c.BootURL = "http://[" + c.Address.String() + "]"
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
	if c.Workers == 0 {
		c.Workers = 64
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Events == nil {
		c.Events = func(sprout.BootEvent) {}
	}
	if c.Others == nil {
		c.Others = func([]byte) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}
