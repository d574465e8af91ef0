package agent

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sprout"
	"sprout/dhcp/dhcptest"
)

// Whatever wrong records reach a site, its DHCP goes on by what is right; each is
// named, also after a restart, and what is mended is in effect without one.
func TestWrongRecordsAreRefusedAlone(t *testing.T) {
	if dhcptest.Isolate(t) {
		return
	}
	w, c := dhcptest.NewWire(t), newCentre(t)
	config := c.agentConfig()
	config.Ports.DHCP, config.Ports.DHCPClient = 67, 68
	config.Interface, config.Address = w.Device, netip.MustParsePrefix("10.0.0.1/24")
	start := func() (stop func()) {
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- Run(ctx, config) }()
		return func() {
			if cancel(); ctx.Err() != nil {
				if err := <-ended; err != nil {
					t.Errorf("the agent ended: %v", err)
				}
			}
		}
	}
	subnet := func(id, cidr, gateway string, more ...func(*sprout.Subnet)) {
		sub := sprout.Subnet{ID: sprout.SubnetID(id), Site: "sit_1", CIDR: netip.MustParsePrefix(cidr), Gateway: netip.MustParseAddr(gateway), Discover: true}
		for _, change := range more {
			change(&sub)
		}
		c.change(true, sprout.ChangeSubnet, id, sub)
	}
	leases := func(first, last string) func(*sprout.Subnet) {
		return func(s *sprout.Subnet) {
			s.Ranges = []sprout.Range{{Kind: sprout.Dynamic, First: netip.MustParseAddr(first), Last: netip.MustParseAddr(last)}}
		}
	}
	// says waits until the problem names all of these, and not the others.
	says := func(names, silent []string) {
		t.Helper()
		c.await("the refusals", func([]sprout.Fact, int64) bool {
			reason := ""
			for _, one := range c.troubles {
				if one.Code == sprout.RecordRefused {
					reason = one.Reason
				}
			}
			has := func(name string) bool { return strings.Contains(reason, name) }
			return !slices.ContainsFunc(names, func(n string) bool { return !has(n) }) && !slices.ContainsFunc(silent, has)
		})
	}
	stop := start()
	c.change(true, sprout.ChangeSite, "sit_1", sprout.Site{ID: "sit_1", Name: "lon1", Domain: "lon1.example"})
	subnet("sub_1", "10.0.0.0/24", "10.0.0.254", leases("10.0.0.100", "10.0.0.109"))
	subnet("sub_1", "10.0.0.0/24", "10.7.7.7", leases("10.0.0.100", "10.0.0.109"))
	subnet("sub_2", "10.0.0.0/16", "10.0.9.254")
	subnet("sub_3", "10.3.0.0/24", "10.3.0.254", leases("10.3.0.200", "10.4.0.9"))
	subnet("sub_4", "10.4.0.7/24", "10.4.0.254")
	c.change(true, sprout.ChangeSubnet, "sub_5", json.RawMessage(`{"id": "sub_5", "cidr": "10.5.0.0/99"}`))
	c.change(true, sprout.ChangeReservation, "nonsense", sprout.Reservation{MAC: "nonsense", IP: netip.MustParseAddr("10.0.0.7"), Subnet: "sub_1"})
	all := []string{"(6)", "subnet sub_1 (10.0.0.0/24): gateway: 10.7.7.7 is outside", "sub_2 (10.0.0.0/16): cidr: 10.0.0.0/16 overlaps 10.0.0.0/24", "sub_3", "has host bits", "reservation nonsense"}
	says(all, nil)
	if ip := w.Lease(t, "52:54:00:00:0f:01"); !strings.HasPrefix(ip.String(), "10.0.0.10") {
		t.Errorf("beside wrong records a client got %s", ip)
	}
	stop()
	c.mu.Lock()
	c.troubles = nil
	c.mu.Unlock()
	stop = start()
	defer func() { stop() }()
	says(all, nil)
	w.Lease(t, "52:54:00:00:0f:02")

	subnet("sub_1", "10.0.0.0/25", "10.0.0.126", leases("10.0.0.30", "10.0.0.39")) // right again
	says([]string{"(5)"}, []string{"sub_1 ("})
	if ip := w.Lease(t, "52:54:00:00:0f:03"); !strings.HasPrefix(ip.String(), "10.0.0.3") {
		t.Errorf("of the range that is right a client got %s", ip)
	}
	subnet("sub_3", "10.3.0.0/24", "10.3.0.254")
	subnet("sub_4", "10.4.0.0/24", "10.4.0.254")
	c.change(true, sprout.ChangeSubnet, "sub_5", nil)
	c.change(true, sprout.ChangeReservation, "nonsense", nil)
	says([]string{"(1)", "overlaps"}, nil)
	c.change(true, sprout.ChangeSubnet, "sub_3", nil)
	c.change(true, sprout.ChangeSubnet, "sub_4", nil)
	c.change(true, sprout.ChangeSubnet, "sub_1", nil) // the one that the other overlaps
	c.says(sprout.RecordRefused, false)
}
