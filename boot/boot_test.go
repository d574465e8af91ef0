package boot_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/boot"
)

// The machines of these tests.
const (
	web01    = "52:54:00:00:00:01" // has an intent to deploy; 10.0.0.5 is reserved for it
	db01     = "52:54:00:00:00:02" // has none; leases 10.0.0.101
	late     = "52:54:00:00:00:03" // has one that ran out; leases 10.0.0.102
	stranger = "52:54:00:00:00:09" // unknown; leases 10.0.0.103 and 10.9.0.103
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// ledger is a site in a test.
type ledger struct {
	leases   map[string]sprout.Lease
	known    map[string]sprout.SiteMachine
	intents  map[sprout.MachineID]sprout.Intent
	started  []string
	startErr error
}

func lon1() *ledger {
	l := &ledger{
		known: map[string]sprout.SiteMachine{
			web01: {ID: "mch_1", Name: "web-01"}, db01: {ID: "mch_2", Name: "db-01"}, late: {ID: "mch_3", Name: "late-01"},
		},
		intents: map[sprout.MachineID]sprout.Intent{
			"mch_1": {Machine: "mch_1", Attempt: "att_1", Purpose: "deploy", Token: "TOKEN1", ExpiresAt: now.Add(time.Hour)},
			"mch_3": {Machine: "mch_3", Attempt: "att_3", Purpose: "deploy", Token: "TOKEN3", ExpiresAt: now.Add(-time.Second)},
		},
		leases: map[string]sprout.Lease{},
	}
	for ip, mac := range map[string]string{"10.0.0.101": db01, "10.0.0.102": late, "10.0.0.103": stranger, "10.9.0.103": stranger} {
		l.leases[ip] = sprout.Lease{MAC: mac, IP: netip.MustParseAddr(ip), State: "bound", ExpiresAt: now.Add(time.Minute)}
	}
	l.leases["10.0.0.110"] = sprout.Lease{MAC: web01, State: "bound", ExpiresAt: now.Add(-time.Minute)}
	l.leases["10.0.0.111"] = sprout.Lease{MAC: web01, State: "released", ExpiresAt: now.Add(time.Minute)}
	return l
}

func (l *ledger) Intent(m sprout.MachineID) (sprout.Intent, bool) {
	i, ok := l.intents[m]
	return i, ok
}
func (l *ledger) MachineByMAC(mac string) (sprout.SiteMachine, bool) {
	m, ok := l.known[mac]
	return m, ok
}
func (l *ledger) LeaseByIP(ip netip.Addr) (sprout.Lease, bool) {
	lease, ok := l.leases[ip.String()]
	return lease, ok
}

func (l *ledger) SubnetOf(ip netip.Addr) (sprout.Subnet, bool) {
	for cidr, discover := range map[string]bool{"10.0.0.0/24": true, "10.9.0.0/24": false} {
		if p := netip.MustParsePrefix(cidr); p.Contains(ip) {
			return sprout.Subnet{CIDR: p, Discover: discover}, true
		}
	}
	return sprout.Subnet{}, false
}

func (l *ledger) Reservation(mac string) (sprout.Reservation, bool) {
	return sprout.Reservation{MAC: web01, IP: netip.MustParseAddr("10.0.0.5")}, mac == web01
}

func (l *ledger) StartDiscovery(_ context.Context, mac string, ip netip.Addr) (sprout.Intent, error) {
	l.started = append(l.started, mac+" "+ip.String())
	return sprout.Intent{Attempt: "att_9", Purpose: "discover", Token: "TOKEN9", ExpiresAt: now.Add(time.Hour)}, l.startErr
}

func TestDecide(t *testing.T) {
	for name, c := range map[string]struct {
		mac, from string
		lax       bool
		want      boot.Action
		why       string
	}{
		"an intent":                        {web01, "10.0.0.5", false, boot.Ramdisk, "web-01 boots the ramdisk to deploy"},
		"no intent":                        {db01, "10.0.0.101", false, boot.LocalDisk, "db-01 has no boot intent"},
		"an intent that ran out":           {late, "10.0.0.102", false, boot.LocalDisk, "ran out at 11:59:59"},
		"unknown":                          {stranger, "10.0.0.103", false, boot.Discover, "to be discovered"},
		"unknown, no discovery":            {stranger, "10.9.0.103", false, boot.LocalDisk, "does not allow discovery"},
		"another's address":                {web01, "10.0.0.103", false, boot.Refuse, "leased to " + stranger},
		"another's address, lax":           {web01, "10.0.0.103", true, boot.Refuse, "leased to " + stranger},
		"no address of its":                {web01, "10.0.0.50", false, boot.Refuse, "neither leased to nor reserved"},
		"no address of its, lax":           {web01, "10.0.0.50", true, boot.Ramdisk, "deploy"},
		"the address it had":               {web01, "10.0.0.110", false, boot.Refuse, "neither"},
		"the address it gave back":         {web01, "10.0.0.111", false, boot.Refuse, "neither"},
		"another's reservation":            {db01, "10.0.0.5", false, boot.Refuse, "neither"},
		"from outside of the site":         {web01, "192.168.1.1", true, boot.Refuse, "in no subnet"},
		"from outside, with no address":    {web01, "::", true, boot.Refuse, "in no subnet"},
		"unknown, with another's address ": {stranger, "10.0.0.101", true, boot.Refuse, "leased to " + db01},
	} {
		t.Run(name, func(t *testing.T) {
			a := boot.Decide(boot.Request{MAC: c.mac, From: netip.MustParseAddr(c.from)}, boot.Site{Ledger: lon1(), AllowUnleased: c.lax, Now: now})
			if a.Action != c.want || !strings.Contains(a.Reason, c.why) {
				t.Errorf("%s: %s; want %s: %s", a.Action, a.Reason, c.want, c.why)
			}
			if (a.Intent.Token != "") != (c.want == boot.Ramdisk) {
				t.Errorf("token %q with %s", a.Intent.Token, a.Action)
			}
		})
	}
}

var errDiskFull = errors.New("disk full")
