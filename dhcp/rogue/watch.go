package rogue

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/mdlayher/packet"

	"sprout"
)

// A Config says where to look, and whom to tell.
type Config struct {
	// Interface is the network device. Empty: nobody is asked, and only those
	// count whom clients name.
	Interface string
	// Own are the agent's addresses: what it says itself is not looked at.
	Own []netip.Addr
	// Known lists the servers that belong here, by IP or MAC address (lower case,
	// colons), or all of a prefix.
	Known func() []string
	// Wrong says what is wrong with what a router of the link advertises; "":
	// nothing. Nil: routers are not looked at.
	Wrong func(Router) string
	// Say is told who does not belong here, each time that this changes: an
	// empty list when nobody is left. It is called by one goroutine at a time.
	Say func([]Server)
	// Every is how often an address is asked for; 0: every minute.
	Every time.Duration
	// Forget is how long a server that is silent counts; 0: five minutes.
	Forget time.Duration
	// Log takes what is worth reading later; nil: nothing is logged.
	Log *slog.Logger
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// A Watch looks for servers.
type Watch struct {
	config Config
	record record
	look   chan struct{}
}

// New makes a watch that Serve runs once.
func New(c Config) *Watch {
	if c.Every == 0 {
		c.Every = time.Minute
	}
	if c.Forget == 0 {
		c.Forget = 5 * time.Minute
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Watch{config: c, look: make(chan struct{}, 1)}
}

// Named tells of a server that a client named as its own. It does not block.
func (w *Watch) Named(server netip.Addr) {
	w.hear(Server{Address: server, Says: "a client took its offer"})
}

// Named6 tells of a DHCPv6 server that a client names as its own, by its DUID. It
// does not block.
func (w *Watch) Named6(duid []byte) {
	s := Server{DUID: hex.EncodeToString(duid), Says: "a client is served by it"}
	if id, err := dhcpv6.DUIDFromBytes(duid); err == nil {
		switch id := id.(type) { // RFC 8415 sections 11.2 and 11.4
		case *dhcpv6.DUIDLLT:
			s.MAC = id.LinkLayerAddr.String()
		case *dhcpv6.DUIDLL:
			s.MAC = id.LinkLayerAddr.String()
		}
	}
	w.hear(s)
}

// hear remembers a server, and has it told where it is news.
func (w *Watch) hear(s Server) {
	if s.Address = s.Address.WithZone(""); slices.Contains(w.config.Own, s.Address) || s.key() == "" {
		return
	}
	if w.record.note(s, w.config.Now()) {
		select {
		case w.look <- struct{}{}:
		default: // it looks already
		}
	}
}

// Serve looks until ctx ends, and returns once every goroutine of it has ended.
// The error is Unavailable where the interface cannot be listened on.
func (w *Watch) Serve(ctx context.Context) error {
	ask, stop, err := w.listen()
	if err != nil {
		return err
	}
	defer stop()
	tick := time.NewTicker(w.config.Every)
	defer tick.Stop()
	ask()
	var said []Server
	for first := true; ; first = false {
		rogues := w.record.rogues(w.config.Now().Add(-w.config.Forget), w.config.Known())
		if first || !slices.Equal(rogues, said) {
			w.config.Say(rogues)
			said = rogues
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.look:
		case <-tick.C:
			ask()
		}
	}
}

// listen begins to hear servers until stop is called, which waits for that; ask
// has them answer.
func (w *Watch) listen() (ask, stop func(), err error) {
	if w.config.Interface == "" {
		return func() {}, func() {}, nil
	}
	device, err := net.InterfaceByName(w.config.Interface)
	if err != nil {
		return nil, nil, sprout.Errorf(sprout.Unavailable, "cannot look for DHCP servers on %s: %w", w.config.Interface, err)
	}
	conn, err := packet.Listen(device, packet.Raw, allProtocols, &packet.Config{Filter: fromServers()})
	if err != nil {
		return nil, nil, sprout.Errorf(sprout.Unavailable, "cannot look for DHCP servers on %s (that needs CAP_NET_RAW): %w", device.Name, err)
	}
	var reading sync.WaitGroup
	reading.Go(func() { w.read(conn, device.HardwareAddr) })
	stop = func() {
		_ = conn.Close()
		reading.Wait()
	}
	return func() { w.probe(conn, device) }, stop, nil
}

// maxReadFailures is how many reads in a row may fail before the socket counts as
// broken. A device that goes down fails one.
const maxReadFailures = 16

// read hears servers until the socket is closed.
func (w *Watch) read(conn *packet.Conn, own net.HardwareAddr) {
	buf := make([]byte, 2048)
	for failures := 0; failures < maxReadFailures; {
		n, _, err := conn.ReadFrom(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			failures++
			continue
		}
		failures = 0
		if s, ok := serverOf(buf[:n], own); ok {
			w.hear(s)
		} else if r, s, ok := routerOf(buf[:n], own); ok && w.config.Wrong != nil {
			if s.Says = w.config.Wrong(r); s.Says != "" {
				w.hear(s)
			}
		}
	}
	w.config.Log.Warn("nobody is heard any more who answers DHCP", "interface", w.config.Interface)
}

// probe asks for an address by both versions of IP. What cannot be sent is logged:
// it is tried again.
func (w *Watch) probe(conn *packet.Conn, device *net.Interface) {
	if _, err := conn.WriteTo(discover(device.HardwareAddr), &packet.Addr{HardwareAddr: broadcast}); err != nil {
		w.config.Log.Debug("cannot ask who answers DHCP", "interface", device.Name, "error", err)
	}
	if err := solicit(device); err != nil {
		w.config.Log.Debug("cannot ask who answers DHCPv6", "interface", device.Name, "error", err)
	}
	if w.config.Wrong == nil {
		return
	}
	if err := askRouters(device); err != nil {
		w.config.Log.Debug("cannot ask who advertises", "interface", device.Name, "error", err)
	}
}
