// Package ipamtest is the contract of ipam.Provider.
package ipamtest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"sprout"
	"sprout/ipam"
)

// A Site is what a provider under test works on: a subnet 10.9.0.0/28 with
// gateway 10.9.0.1 and a dynamic range 10.9.0.8-10.9.0.11, of which nothing is
// in use, and Machines that exist and hold nothing, 16 at least.
type Site struct {
	Provider ipam.Provider
	Subnet   sprout.SubnetID
	Machines []sprout.MachineID
}

// free is how many addresses the subnet has to give: .2-.7 and .12-.14.
const free = 9

// Run holds a provider to the contract. Open makes a fresh site.
func Run(t *testing.T, open func(t *testing.T) Site) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(t *testing.T, s Site)
	}{
		{"the same caller gets the same address", sameAgain},
		{"a certain address", certain},
		{"what cannot be had", refused},
		{"many at once until it is full", fill},
		{"one machine asking at once holds one", repeatAtOnce},
		{"released addresses are free again", release},
		{"blocks", blocks},
		{"blocks at once", blocksAtOnce},
		{"a hold ends by itself", holdEnds},
		{"one address of a block is freed", freed},
		{"what somebody else uses is given to nobody", quarantine},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

func mac(i int) string { return fmt.Sprintf("52:54:00:09:00:%02x", i) }

func (s Site) request(i int) ipam.Request {
	return ipam.Request{Subnet: s.Subnet, Machine: s.Machines[i], MAC: mac(i), Name: fmt.Sprintf("m%d.example", i)}
}

func (s Site) must(t *testing.T, r ipam.Request) sprout.Address {
	t.Helper()
	a, err := s.Provider.Allocate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func sameAgain(t *testing.T, s Site) {
	first, again := s.must(t, s.request(0)), s.must(t, s.request(0))
	if first.IP != again.IP || first.ID != again.ID {
		t.Errorf("got %s, then %s", first.IP, again.IP)
	}
	if first.Prefix != 28 || first.Machine != s.Machines[0] || first.MAC != mac(0) || first.Name != "m0.example" {
		t.Errorf("address %+v", first)
	}
	r := s.request(0)
	r.MAC = mac(200)
	if other := s.must(t, r); other.IP == first.IP {
		t.Errorf("two ports of a machine got %s", first.IP)
	}
	held, err := s.Provider.Held(t.Context(), s.Machines[0])
	if err != nil || len(held) != 2 {
		t.Errorf("held %v, %v", held, err)
	}
}

func certain(t *testing.T, s Site) {
	r := s.request(0)
	r.IP = netip.MustParseAddr("10.9.0.13")
	if a := s.must(t, r); a.IP != r.IP {
		t.Errorf("asked for %s, got %s", r.IP, a.IP)
	}
	s.must(t, r) // a repeat is no conflict
	other := s.request(1)
	other.IP = r.IP
	wantKind(t, s, other, sprout.Conflict)
}

func refused(t *testing.T, s Site) {
	for _, ip := range []string{"10.9.1.2", "10.9.0.9", "10.9.0.1", "10.9.0.0", "10.9.0.15"} {
		r := s.request(0)
		r.IP = netip.MustParseAddr(ip)
		wantKind(t, s, r, sprout.Invalid)
	}
	r := s.request(0)
	r.Subnet = sprout.NewID[sprout.SubnetID](sprout.PrefixSubnet)
	wantKind(t, s, r, sprout.NotFound)
	if held, err := s.Provider.Held(t.Context(), s.Machines[0]); err != nil || len(held) != 0 {
		t.Errorf("what was refused left %v, %v", held, err)
	}
}

func fill(t *testing.T, s Site) {
	ips, errs := make([]netip.Addr, 16), make([]error, 16)
	var all sync.WaitGroup
	for i := range ips {
		all.Go(func() {
			a, err := s.Provider.Allocate(t.Context(), s.request(i))
			ips[i], errs[i] = a.IP, err
		})
	}
	all.Wait()
	seen := map[netip.Addr]bool{}
	for i, ip := range ips {
		if errs[i] != nil {
			wantFull(t, errs[i])
			continue
		}
		if seen[ip] {
			t.Errorf("%s was given out twice", ip)
		}
		seen[ip] = true
		if netip.MustParseAddr("10.9.0.8").Compare(ip) <= 0 && ip.Less(netip.MustParseAddr("10.9.0.12")) {
			t.Errorf("%s is in a range", ip)
		}
	}
	if len(seen) != free {
		t.Errorf("%d addresses were given out, want %d: %v", len(seen), free, errs)
	}
}

func repeatAtOnce(t *testing.T, s Site) {
	ips := make([]netip.Addr, 8)
	var all sync.WaitGroup
	for i := range ips {
		all.Go(func() {
			a, err := s.Provider.Allocate(t.Context(), s.request(0))
			if err != nil {
				t.Error(err)
			}
			ips[i] = a.IP
		})
	}
	all.Wait()
	for _, ip := range ips {
		if ip != ips[0] {
			t.Errorf("one port got %v", ips)
			return
		}
	}
}

func release(t *testing.T, s Site) {
	for i := range free {
		s.must(t, s.request(i))
	}
	_, err := s.Provider.Allocate(t.Context(), s.request(free))
	wantFull(t, err)
	for range 2 { // a repeat is no error
		if err := s.Provider.Release(context.WithoutCancel(t.Context()), s.Machines[3]); err != nil {
			t.Fatal(err)
		}
	}
	if held, err := s.Provider.Held(t.Context(), s.Machines[3]); err != nil || len(held) != 0 {
		t.Errorf("still holds %v, %v", held, err)
	}
	s.must(t, s.request(free))
}

func wantKind(t *testing.T, s Site, r ipam.Request, kind sprout.Kind) {
	t.Helper()
	a, err := s.Provider.Allocate(t.Context(), r)
	if err == nil || sprout.KindOf(err) != kind {
		t.Errorf("%s: want an error of kind %s, got %s, %v", r.IP, kind, a.IP, err)
	}
}

func wantFull(t *testing.T, err error) {
	t.Helper()
	var f *sprout.Failure
	if sprout.KindOf(err) != sprout.Conflict || !errors.As(err, &f) || f.Code != sprout.SubnetFull {
		t.Errorf("want a conflict with failure %s, got %v", sprout.SubnetFull, err)
	}
}
