package agent

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"sprout"
	"sprout/dhcp/dhcptest"
	"sprout/dhcp/kea/keatest"
)

// A site whose DHCP is Kea's: it lives without Kea and says so; once Kea is there,
// a machine that Kea gave an address gets its boot script at once, and nobody else
// who has that address; the centre hears of the lease, and what Kea was told is
// explained.
func TestKeaServesASite(t *testing.T) {
	if dhcptest.Isolate(t) {
		return
	}
	const stranger = "52:54:00:00:0f:01"
	w, kea, c := dhcptest.NewWire(t), keatest.New(t, keatest.Plain), newCentre(t)
	config := c.agentConfig()
	config.Interface, config.Address = w.Device, netip.MustParsePrefix("10.0.0.1/24")
	config.DHCP = DHCP{Provider: "kea", Kea: Kea{Socket: kea.Socket}}
	runAgent(t, config)
	c.change(true, sprout.ChangeSite, "sit_1", sprout.Site{ID: "sit_1", Name: "lon1", Domain: "lon1.example"})
	c.change(true, sprout.ChangeSubnet, "sub_1", sprout.Subnet{
		ID: "sub_1", Site: "sit_1", CIDR: netip.MustParsePrefix("10.0.0.0/24"), Discover: true,
		Ranges: []sprout.Range{{Kind: sprout.Dynamic, First: netip.MustParseAddr("10.0.0.100"), Last: netip.MustParseAddr("10.0.0.109")}},
	})
	c.says(sprout.KeaUnreachable, true)
	kea.Start(t)
	c.says(sprout.KeaUnreachable, false)
	ip := w.Lease(t, stranger)
	w.Peer.Run(t, "ip", "addr", "add", ip.String()+"/24", "dev", w.Peer.Device)
	url := fmt.Sprintf("%s/boot/%s.ipxe", config.url(ip), strings.ReplaceAll(stranger, ":", "-"))
	boots := func() string { return w.Peer.Run(t, "curl", "-sS", "--interface", ip.String(), url) }
	if script := boots(); !strings.Contains(script, ip.String()+" is used by 52:54:00:00:0a:01, not by "+stranger) {
		t.Errorf("whoever took its address is told to boot:\n%s", script)
	}
	w.Peer.Run(t, "ip", "link", "set", w.Peer.Device, "address", stranger)
	w.Peer.Run(t, "ip", "neigh", "flush", "dev", w.Peer.Device) // it looks for the agent, as who comes does
	if script := boots(); !strings.Contains(script, "vmlinuz") {
		t.Errorf("just after its lease the machine is told to boot:\n%s", script)
	}
	c.await("the lease", func(facts []sprout.Fact, _ int64) bool {
		for _, f := range facts {
			var l sprout.Lease
			if f.Kind == sprout.FactLease && json.Unmarshal(f.Body, &l) == nil && l.MAC == stranger && l.IP == ip && l.State == "bound" && l.Subnet == "sub_1" {
				return true
			}
		}
		return false
	})
}
