package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"sprout"
	"sprout/bench"
	"sprout/sitestore"
)

// A storm is a rack that is powered on at once: its machines ask for their boot
// scripts within the second in which firmware of one kind comes to that point.
// -within says another time: 1ms is a burst, in which the client's processors are
// what is waited for.
const stormMachines = 500

// A booting machine has an address, a lease of it, and an intent to deploy.
type booting struct {
	ip  netip.Addr
	mac string
}

func stormers() []booting {
	all, ip := make([]booting, stormMachines), netip.MustParseAddr("127.30.0.10")
	for i := range all {
		all[i] = booting{ip, fmt.Sprintf("52:54:00:30:%02x:%02x", i>>8, i&255)}
		ip = ip.Next()
	}
	return all
}

// seed gives the site its machines, as if they were about to be installed. There is
// no centre: what the agent answers, it answers from its own store.
func seed(ctx context.Context, store *sitestore.Store) error {
	changes := []sprout.Change{changeOf(sprout.ChangeSubnet, "sub_1", sprout.Subnet{ID: "sub_1", CIDR: netip.MustParsePrefix("127.30.0.0/16")})}
	var leases []sprout.Lease
	var intents []sprout.Intent
	expires := time.Now().Add(time.Hour)
	for i, b := range stormers() {
		m := sprout.SiteMachine{ID: sprout.MachineID(fmt.Sprintf("mch_%026d", i)), Name: fmt.Sprintf("web-%d", i), MACs: []string{b.mac}}
		changes = append(changes, changeOf(sprout.ChangeMachine, string(m.ID), m))
		leases = append(leases, sprout.Lease{Subnet: "sub_1", MAC: b.mac, IP: b.ip, State: "bound", ExpiresAt: expires})
		intents = append(intents, sprout.Intent{
			Machine: m.ID, Attempt: sprout.NewID[sprout.AttemptID](sprout.PrefixAttempt), Purpose: "deploy",
			Token: sprout.NewSecret(), HomeToken: sprout.NewSecret(), ExpiresAt: expires,
		})
	}
	for i := range changes {
		changes[i].Seq = int64(i + 1)
	}
	if err := errors.Join(store.Apply(ctx, changes...), store.SaveLeases(ctx, leases...)); err != nil {
		return err
	}
	return store.Update(ctx, func(tx *bbolt.Tx) (err error) {
		for _, in := range intents {
			err = errors.Join(err, store.SetIntent(tx, in))
		}
		return err
	})
}

func changeOf(kind sprout.ChangeKind, key string, body any) sprout.Change {
	raw, _ := json.Marshal(body) // of our own types
	return sprout.Change{Kind: kind, Key: key, Body: raw}
}

// storm is the line of the boot script: p99 with all machines at once against p99
// with one alone, in milliseconds.
func (b *bed) storm() (line bench.Line, err error) {
	p, err := b.start(sprouts)
	if err != nil {
		return line, err
	}
	defer p.Stop()
	rates := [2][]float64{}
	for turn := range b.turns + 1 {
		for i, pause := range []time.Duration{0, max(b.within/stormMachines, 1)} {
			took, err := scripts(pause)
			if err != nil {
				return line, err
			}
			if turn > 0 { // the first only warms up
				rates[i] = append(rates[i], took)
			}
		}
	}
	for i, who := range []string{"alone", "at once"} {
		slices.Sort(rates[i])
		fmt.Fprintf(os.Stderr, "boot-storm-p99: %s %.2f ms, from %.2f to %.2f\n", who, rates[i][b.turns/2], rates[i][0], rates[i][b.turns-1])
	}
	return bench.Line{Name: "boot-storm-p99", Sprout: rates[1][b.turns/2], Peer: "alone", Other: rates[0][b.turns/2]}, nil
}

// scripts has every machine fetch its script, each by a connection of its own from
// its own address, and returns p99 in milliseconds. Without a pause one asks after
// the other; else each begins so much after the one before it, whatever became of
// that.
func scripts(pause time.Duration) (float64, error) {
	var running sync.WaitGroup
	machines := stormers()
	took, failed := make([]float64, len(machines)), make([]error, len(machines))
	begin := time.Now()
	for i, m := range machines {
		ask := func() {
			began := time.Now()
			failed[i] = script(sprouts.http, m)
			took[i] = float64(time.Since(began)) / float64(time.Millisecond)
		}
		if pause == 0 {
			ask()
			continue
		}
		time.Sleep(time.Until(begin.Add(time.Duration(i) * pause)))
		running.Go(ask)
	}
	running.Wait()
	slices.Sort(took)
	return took[len(took)*99/100], errors.Join(failed...)
}

// script fetches one of the agent at an address; it has to be that of the machine.
func script(at string, m booting) error {
	dial := net.Dialer{LocalAddr: &net.TCPAddr{IP: m.ip.AsSlice()}, Timeout: 10 * time.Second}
	client := &http.Client{Transport: &http.Transport{DialContext: dial.DialContext, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	r, err := client.Get("http://" + at + "/boot/" + strings.ReplaceAll(m.mac, ":", "-") + ".ipxe")
	if err != nil {
		return err
	}
	defer r.Body.Close() //nolint:errcheck // read whole
	text, err := io.ReadAll(r.Body)
	if err == nil && (r.StatusCode != http.StatusOK || !strings.Contains(string(text), "sprout.token=")) {
		err = fmt.Errorf("%s got %s: %s", m.mac, r.Status, text)
	}
	return err
}
