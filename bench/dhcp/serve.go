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

	"sprout"
	"sprout/dhcp/builtin"
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
	store, err := sitestore.Open(filepath.Join(b.dir, "site.db"), log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := b.fill(ctx, store); err != nil {
		return err
	}
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
func (b *bed) fill(ctx context.Context, store *sitestore.Store) error {
	seq := int64(0)
	add := func(kind sprout.ChangeKind, key string, v any) error {
		raw, err := json.Marshal(v)
		if err != nil {
			return err
		}
		seq++
		return store.Apply(ctx, sprout.Change{Seq: seq, Kind: kind, Key: key, Body: raw})
	}
	subnet := sprout.Subnet{
		ID: "sub_1", Site: "sit_1", Network: "net_1", CIDR: netip.MustParsePrefix(prefix), Gateway: netip.MustParseAddr(serverIP),
		Ranges: []sprout.Range{{Kind: sprout.Dynamic, First: netip.MustParseAddr(poolFirst), Last: netip.MustParseAddr(poolLast)}},
	}
	err := errors.Join(add(sprout.ChangeSite, "sit_1", sprout.Site{ID: "sit_1", Name: "bench"}), add(sprout.ChangeSubnet, "sub_1", subnet))
	ip := netip.MustParseAddr("10.21.128.0") // behind the range
	for n := 0; n < b.reservations && err == nil; n++ {
		err = add(sprout.ChangeReservation, reservedMAC(n), sprout.Reservation{MAC: reservedMAC(n), IP: ip})
		ip = ip.Next()
	}
	return err
}

// reservedMAC is of no client of perfdhcp, so that those all do the same.
func reservedMAC(n int) string {
	return net.HardwareAddr{0x52, 0x54, 0, byte(n >> 16), byte(n >> 8), byte(n)}.String()
}
