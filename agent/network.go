package agent

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"sprout"
	"sprout/boot"
	"sprout/boot/advert"
	"sprout/boot/tftp"
	dhcp "sprout/dhcp/builtin"
	dns "sprout/dns/builtin"
	"sprout/sitestore"
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
			s.log.Warn("provisioning network waits: this host does not have the address yet", "address", s.config.Address.Addr(), "interface", s.config.Interface)
			said = true
		}
		if sprout.Pause(ctx, 250*time.Millisecond) != nil {
			return false
		}
	}
}

func (s *site) hasAddress() bool {
	want := s.config.Address.Addr()
	if want.IsLoopback() {
		return true // all of 127.0.0.0/8 is
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addresses {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr() == want {
			return true
		}
	}
	return false
}

// serveOnce runs every server of the network; the first that fails ends all.
func (s *site) serveOnce(ctx context.Context) error {
	servers, err := s.servers()
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

func (s *site) servers() ([]loop, error) {
	c := s.config
	zone := sitestore.Zone{Store: s.store, Address: c.Address.Addr()}
	leases, err := dhcp.New(dhcp.Config{
		Interface: c.Interface, Address: c.Address.Addr(), Port: c.Ports.DHCP, ClientPort: c.Ports.DHCPClient,
		Ledger: s.store, BootURL: c.url(), Domain: zone.Domain, Log: s.log, Events: s.boots.tell,
		Now: s.clock.Now,
	})
	if err != nil {
		return nil, err
	}
	names, err := dns.NewServer(dns.ServerConfig{Address: c.listen(c.Ports.DNS, 53), Zone: zone, Log: s.log})
	if err != nil {
		return nil, err
	}
	files, err := tftp.New(tftp.Config{
		Address: c.listen(c.Ports.TFTP, 69), Interface: c.Interface, Open: tftp.Files(c.bootFiles(), boot.LoaderFiles...),
		Transferred: s.transferred, Log: s.log,
	})
	if err != nil {
		return nil, err
	}
	all := []loop{{"dhcp", leases.Serve}, {"dns", names.Serve}, {"tftp", files.Serve}, {"http", s.serveWeb}}
	if c.Interface != "" {
		// Firmware that waits for a router advertisement boots seconds sooner.
		all = append(all, loop{"advert", func(ctx context.Context) error { return advert.Serve(ctx, c.Interface, s.log) }})
	}
	return all, nil
}

// serveWeb serves HTTP until ctx ends. A transfer may take hours, so only
// headers and idling have limits.
func (s *site) serveWeb(ctx context.Context) error {
	at := s.config.listen(s.config.Ports.HTTP, 80)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", at.String())
	if err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot serve HTTP on %s: %w", at, err)
	}
	return serveHTTP(ctx, listener, s.web())
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
