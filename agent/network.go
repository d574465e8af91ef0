package agent

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sprout"
	"sprout/boot"
	"sprout/boot/advert"
	"sprout/boot/tftp"
	"sprout/dhcp/rogue"
)

// serveNetwork serves the provisioning network until ctx ends. When the address
// is not there yet, or goes, it waits for it and serves again: the rest of the
// agent goes on.
func (s *site) serveNetwork(ctx context.Context) error {
	for ctx.Err() == nil {
		if !s.awaitAddress(ctx) {
			return nil
		}
		err := s.serveOnce(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if sprout.KindOf(err) == sprout.Invalid {
			return err // no second try makes the configuration right
		}
		s.log.Error("provisioning network is not served; again in a second", "error", err)
		_ = sprout.Pause(ctx, time.Second)
	}
	return nil
}

// awaitAddress waits until this host has the agent's address.
func (s *site) awaitAddress(ctx context.Context) bool {
	for said := false; ; {
		if s.hasAddress() {
			return true
		}
		if !said {
			s.log.Warn("provisioning network waits: this host does not have its addresses yet", "addresses", s.config.own(), "interface", s.config.Interface)
			said = true
		}
		if sprout.Pause(ctx, 250*time.Millisecond) != nil {
			return false
		}
	}
}

// hasAddress tells whether this host has every address of the agent.
func (s *site) hasAddress() bool {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	has := map[netip.Addr]bool{}
	for _, a := range addresses {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			has[prefix.Addr()] = true
		}
	}
	for _, want := range s.config.own() {
		if !has[want] && !want.IsLoopback() { // all of 127.0.0.0/8 is
			return false
		}
	}
	return true
}

// serveOnce runs every server of the network; the first that fails ends all.
func (s *site) serveOnce(ctx context.Context) error {
	servers, err := s.servers(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, len(servers))
	var running sync.WaitGroup
	for _, l := range servers {
		running.Go(func() {
			s.log.Info("server started", "server", l.name)
			failed <- l.run(ctx)
			s.log.Info("server stopped", "server", l.name)
			cancel()
		})
	}
	running.Wait()
	close(failed)
	var all []error
	for err := range failed {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// servers are those of each of the agent's addresses, and the answer to router
// solicitations: firmware that waits for one boots seconds sooner.
func (s *site) servers(ctx context.Context) (all []loop, err error) {
	c := s.config
	s.rogues = rogue.New(rogue.Config{Interface: c.Interface, Own: c.own(), Known: s.knownServers, Wrong: s.wrongRouter, Say: s.sayRogues, Log: s.log, Now: s.clock.Now})
	var listen []netip.AddrPort
	for _, own := range c.own() {
		leases, err := s.leaser(own)
		if err != nil {
			return nil, err
		}
		listen = append(listen, at(own, c.Ports.DNS, 53))
		files, err := tftp.New(tftp.Config{
			Address: at(own, c.Ports.TFTP, 69), Interface: c.Interface, Open: boot.TFTP(ctx, s.booting()),
			Transferred: s.transferred, Log: s.log,
		})
		if err != nil {
			return nil, err
		}
		web := func(ctx context.Context) error { return s.serveWeb(ctx, at(own, c.Ports.HTTP, 80)) }
		all = append(all, loop{"dhcp", leases.Serve}, loop{"tftp", files.Serve}, loop{"http", web})
	}
	names, err := s.namer(listen)
	if err != nil {
		return nil, err
	}
	all = append(all, loop{"dns", names}, loop{"rogue", s.rogues.Serve})
	if c.Interface != "" {
		say := advert.Config{Interface: c.Interface, Say: func(asked bool) advert.Word { return s.advertise(s.store.Domain(), asked) }, Log: s.log}
		all = append(all, loop{"advert", func(ctx context.Context) error { return advert.Serve(ctx, say) }})
	}
	return all, nil
}

// How long the agent says that it is a default router: where it is the gateway of
// a subnet, and, to who asks, where no subnet has a gateway. OVMF waits 30 s in
// each of its stages for some router to be there, though it needs none.
const (
	routerFor = 30 * time.Minute
	askedFor  = time.Minute
)

// advertise is what there is to say of IPv6 on the agent's link: nothing without
// an IPv6 subnet on it. Where another host is the gateway, it advertises itself.
func (s *site) advertise(domain string, asked bool) (w advert.Word) {
	own := s.config.Address6.Addr()
	here, ok := s.store.SubnetOf(own)
	if !ok || !own.IsValid() {
		return w
	}
	gateway := false
	for _, sub := range s.store.Subnets() {
		if sub.Network != here.Network || !sub.CIDR.Addr().Is6() {
			continue
		}
		switch sub.Advertise {
		case sprout.NoAdvertisement:
			continue
		case sprout.SLAAC, sprout.Stateless:
			w.Other = w.Other || sub.Advertise == sprout.Stateless
		default:
			w.Stateful = w.Stateful || sub.DHCP != sprout.DHCPOff
		}
		alone := sub.Advertise == sprout.SLAAC || sub.Advertise == sprout.Stateless
		w.Prefixes = append(w.Prefixes, advert.Prefix{Prefix: sub.CIDR, Autonomous: alone})
		for _, ip := range sub.DNS {
			if ip.Is6() {
				w.DNS = append(w.DNS, ip)
			}
		}
		if gateway = gateway || sub.Gateway.IsValid(); sub.Gateway == own {
			w.Router = routerFor
		}
	}
	if len(w.Prefixes) == 0 {
		return advert.Word{}
	}
	w.MTU = here.MTU
	if asked && !gateway {
		w.Router, w.Low = askedFor, true
	}
	if len(w.DNS) == 0 {
		w.DNS = []netip.Addr{own}
	}
	if w.Search = here.Search; len(w.Search) == 0 {
		if domain = cmp.Or(here.Domain, domain); domain != "" {
			w.Search = []string{domain}
		}
	}
	return w
}

// stalledWithin is how long a client may take nothing of what it asked for. A slow
// disk has a machine take none for a while; what is cut off goes on where it was.
const stalledWithin = 5 * time.Minute

// serveWeb serves HTTP at the address until ctx ends. A transfer may take hours, so
// only headers, idling and standing still have limits.
func (s *site) serveWeb(ctx context.Context, at netip.AddrPort) error {
	listener, err := listenTCP(ctx, at, stalledWithin)
	if err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot serve HTTP on %s: %w", at, err)
	}
	return serveHTTP(ctx, listener, s.web())
}

// listenTCP listens for connections that the kernel ends when the other end has
// acknowledged nothing for so long, or has had no room for more (TCP_USER_TIMEOUT,
// RFC 5482; tcp(7)).
func listenTCP(ctx context.Context, at netip.AddrPort, stalled time.Duration) (net.Listener, error) {
	listening := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var refused error
		err := c.Control(func(fd uintptr) {
			refused = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(stalled.Milliseconds()))
		})
		return cmp.Or(err, refused)
	}}
	return listening.Listen(ctx, "tcp", at.String())
}

// serveHTTP serves until ctx ends, then ends the requests that are held open.
func serveHTTP(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // Serve says so
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return sprout.Errorf(sprout.Unavailable, "cannot serve HTTP on %s: %w", listener.Addr(), err)
	}
	return nil
}
