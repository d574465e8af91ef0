package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"syscall"

	"go.etcd.io/bbolt"

	"sprout"
	"sprout/dhcp/builtin"
	"sprout/health"
	"sprout/sitestore"
)

// serveSprout is the server under test: the builtin DHCP server on the store of
// a site, as an agent runs them.
func serveSprout(ctx context.Context, b *bed) (err error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	if err := errors.Join(os.RemoveAll(b.dir), os.MkdirAll(b.dir, 0o700)); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	path := filepath.Join(b.dir, "site.db")
	if err := b.fill(ctx, path, log); err != nil {
		return err
	}
	store, err := sitestore.Open(path, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	health.Memory{}.Apply() // as an agent does
	s, err := builtin.New(builtin.Config{Interface: device, Address: netip.MustParseAddr(serverIP), Ledger: store, Log: log, Events: func(sprout.BootEvent) {}})
	if err != nil {
		return err
	}
	if b.profile != "" {
		f, err := os.Create(b.profile)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	err = s.Serve(ctx)
	fmt.Fprintf(os.Stderr, "%d packets were dropped: too many waited\n", s.Dropped())
	return err
}

// fill makes the site: one subnet, and the reservations.
func (b *bed) fill(ctx context.Context, path string, log *slog.Logger) (err error) {
	store, err := sitestore.Open(path, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	subnet := sprout.Subnet{
		ID: "sub_1", Site: "sit_1", Network: "net_1", CIDR: netip.MustParsePrefix(prefix), Gateway: netip.MustParseAddr(serverIP),
		Ranges: []sprout.Range{{Kind: sprout.Dynamic, First: netip.MustParseAddr(poolFirst), Last: netip.MustParseAddr(poolLast)}},
	}
	return store.Update(ctx, func(tx *bbolt.Tx) error {
		err := errors.Join(put(tx, "site", "sit_1", sprout.Site{ID: "sit_1", Name: "bench"}), put(tx, "subnet", "sub_1", subnet))
		ip := netip.MustParseAddr("10.21.128.0") // behind the range
		for n := 0; n < b.reservations && err == nil; n++ {
			err = put(tx, "reservation", hostMAC(n), sprout.Reservation{MAC: hostMAC(n), IP: ip, Subnet: "sub_1"})
			ip = ip.Next()
		}
		return err
	})
}

// put writes a row of a site's store as one that the centre has sent.
func put(tx *bbolt.Tx, table, key string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.Bucket([]byte(table)).Put([]byte(key), raw)
}

// hostMAC is of no client of perfdhcp, so that those all do the same.
func hostMAC(n int) string {
	return net.HardwareAddr{0x52, 0x54, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}.String()
}
