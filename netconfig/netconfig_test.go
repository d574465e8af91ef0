package netconfig

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"sprout"
)

func subnet(id, cidr, gateway string, mtu int) sprout.Subnet {
	s := sprout.Subnet{ID: sprout.SubnetID(id), CIDR: netip.MustParsePrefix(cidr), MTU: mtu}
	if gateway != "" {
		s.Gateway = netip.MustParseAddr(gateway)
	}
	return s
}

// site is a machine with four ports, of which the last has no name yet, and
// the networks of its site.
func site() Model {
	office := subnet("sub_o4", "10.30.0.0/24", "10.30.0.1", 9000)
	office.Routes = []sprout.Route{{To: netip.MustParsePrefix("172.16.0.0/12"), Via: netip.MustParseAddr("10.30.0.254"), Metric: 50}}
	office.DNS, office.Domain = []netip.Addr{netip.MustParseAddr("10.30.0.53")}, "office.example"
	office.NTP = []netip.Addr{netip.MustParseAddr("10.30.0.123")}
	ranged := subnet("sub_p4", "10.20.0.0/24", "10.20.0.1", 1500)
	ranged.Ranges = []sprout.Range{{Kind: sprout.Dynamic, First: netip.MustParseAddr("10.20.0.100"), Last: netip.MustParseAddr("10.20.0.199")}}
	networks := []sprout.Network{
		{ID: "net_p", Name: "prov", MTU: 1500, Subnets: []sprout.Subnet{ranged, subnet("sub_p6", "fd00:20::/64", "fd00:20::1", 1500)}},
		{ID: "net_o", Name: "office", VLAN: 100, MTU: 9000, Subnets: []sprout.Subnet{office}},
		{ID: "net_b", Name: "blue", VLAN: 200, MTU: 1500, VRF: "blue", Subnets: []sprout.Subnet{subnet("sub_b4", "10.40.0.0/24", "", 1500)}},
	}
	networks[2].Subnets[0].VRF = "blue"
	return Model{
		Machine: sprout.Machine{ID: "mch_1", Name: "m1", SiteName: "lon1", Interfaces: []sprout.Interface{
			{Name: "eno1", MAC: "52:54:00:00:00:01", Boot: true}, {Name: "eno2", MAC: "52:54:00:00:00:02"},
			{Name: "eno3", MAC: "52:54:00:00:00:03"}, {MAC: "52:54:00:00:00:04"},
		}},
		Networks: networks,
		Held:     []sprout.Address{{IP: netip.MustParseAddr("10.20.0.9"), Kind: "machine", Machine: "mch_2", Name: "m2.lon1.example"}},
	}
}

// config reads a configuration as an operator writes one.
func config(t *testing.T, text string) (c sprout.NetworkConfig) {
	t.Helper()
	var tree any
	if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatal(err)
	}
	if err := reread(tree, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// refused are configurations that break a rule: which, of what field, and what
// the error must say.
var refused = []struct{ rule, config, field, says string }{
	{"an interface has a name", `{interfaces: [{name: "a b", dhcp4: true}]}`, "interfaces[0].name", "no name"},
	{"an interface has a name", `{interfaces: [{name: lo, dhcp4: true}]}`, "interfaces[0].name", "no name"},
	{"an interface has a name", `{interfaces: [{name: eno1, dhcp4: true}, {name: eno1}]}`, "interfaces[1].name", "twice"},
	{"an interface is a port", `{interfaces: [{name: x0, bond: {members: [eno1]}, bridge: {members: [eno2]}}]}`, "interfaces[0]", "one of"},
	{"an interface is a port", `{interfaces: [{name: x0, mac: "52:54:00:00:00:01", bond: {members: [eno1]}}]}`, "interfaces[0].mac", "leave mac out"},
	{"a port is one", `{interfaces: [{name: eno9, dhcp4: true}]}`, "interfaces[0].name", "it has eno1 52:54:00:00:00:01"},
	{"a port is one", `{interfaces: [{name: a, mac: "52:54:00:00:00:99"}]}`, "interfaces[0].mac", "no port with the MAC"},
	{"a port is one", `{interfaces: [{name: eno1}, {name: lan0, mac: "52:54:00:00:00:01"}]}`, "interfaces[1].mac", "already"},
	{"a port is one", `{interfaces: [{name: b0, bond: {members: [eno1, "52:54:00:00:00:04"]}}]}`, "interfaces[0].bond.members", "no name yet"},
	{"a port is one", `{interfaces: [{name: v, vlan: {parent: eno9, id: 100}}]}`, "interfaces[0].vlan.parent", "no interface eno9"},
	{"what an interface lies on", `{interfaces: [{name: b0, bond: {members: []}, dhcp4: true}]}`, "interfaces[0].bond.members", "at least one member"},
	{"a member belongs", `{interfaces: [{name: b0, bond: {members: [eno1]}}, {name: br0, bridge: {members: [eno1]}}]}`, "interfaces[1].bridge.members[0]", "member of b0 already"},
	{"a member belongs", `{interfaces: [{name: b0, bond: {members: [eno1, eno1]}}]}`, "interfaces[0].bond.members[1]", "twice"},
	{"a member belongs", `{interfaces: [{name: eno1, dhcp4: true}, {name: b0, bond: {members: [eno1]}}]}`, "interfaces[1].bond.members[0]", "give it to b0"},
	{"a member belongs", `{interfaces: [{name: b0, bond: {members: [eno1]}}, {name: b1, bond: {members: [b0]}}]}`, "interfaces[1].bond.members[0]", "made of ports"},
	{"a member belongs", `{interfaces: [{name: br0, bridge: {members: [eno1]}}, {name: br1, bridge: {members: [br0]}}]}`, "interfaces[1].bridge.members[0]", "is a bridge"},
	{"a member belongs", `{interfaces: [{name: b0, bond: {members: [eno1]}}, {name: v, vlan: {parent: eno1, id: 100}}]}`, "interfaces[1].vlan.parent", "one of b0"},
	{"nothing lies on itself", `{interfaces: [{name: a, vlan: {parent: b, id: 100}}, {name: b, vlan: {parent: a, id: 200}}]}`, "interfaces[0]", "a on b on a"},
	{"nothing lies on itself", `{interfaces: [{name: br0, bridge: {members: [v]}}, {name: v, vlan: {parent: br0, id: 100}}]}`, "interfaces[0]", "br0 on v on br0"},
	{"a bond's settings", `{interfaces: [{name: b0, bond: {members: [eno1], mode: fast}}]}`, "interfaces[0].bond.mode", "no mode"},
	{"a bond's settings", `{interfaces: [{name: b0, bond: {members: [eno1], lacpRate: fast}}]}`, "interfaces[0].bond.lacpRate", "802.3ad has"},
	{"a bond's settings", `{interfaces: [{name: b0, bond: {members: [eno1], mode: balance-rr, xmitHashPolicy: layer2}}]}`, "interfaces[0].bond.xmitHashPolicy", "balance-rr"},
	{"a bond's settings", `{interfaces: [{name: b0, bond: {members: [eno1], mode: 802.3ad, primary: eno1}}]}`, "interfaces[0].bond.primary", "active-backup"},
	{"a bond's settings", `{interfaces: [{name: b0, bond: {members: [eno1], primary: eno2}}]}`, "interfaces[0].bond.primary", "no member"},
	{"a bridge learns", `{interfaces: [{name: br0, bridge: {members: [eno1], stp: true, forwardDelay: 1}}]}`, "interfaces[0].bridge.forwardDelay", "2 to 30"},
	{"a bridge learns", `{interfaces: [{name: br0, bridge: {members: [eno1], forwardDelay: 4}}]}`, "interfaces[0].bridge.forwardDelay", "set stp"},
	{"a VLAN is one", `{interfaces: [{name: v, vlan: {parent: eno1, id: 300}, dhcp4: true}]}`, "interfaces[0].vlan.id", "it has 100 (office), 200 (blue)"},
	{"a VLAN is one", `{interfaces: [{name: v, vlan: {parent: eno1, id: 100}}, {name: w, vlan: {parent: eno1, id: 100}}]}`, "interfaces[1].vlan.id", "v is VLAN 100"},
	{"a VLAN is one", `{interfaces: [{name: v, vlan: {parent: eno1, id: 100}}, {name: w, vlan: {parent: v, id: 200}}]}`, "interfaces[1].vlan.parent", "both VLANs of eno1"},
	{"an address is one", `{interfaces: [{name: eno1, addresses: [{subnet: 10.99.0.0/24}]}]}`, "interfaces[0].addresses[0].subnet", "site lon1, where machine m1 is, has no subnet"},
	{"an address is one", `{interfaces: [{name: eno1, addresses: [{subnet: prov}]}]}`, "interfaces[0].addresses[0].subnet", "10.20.0.0/24 (sub_p4) or fd00:20::/64 (sub_p6)"},
	{"an address is one", `{interfaces: [{name: eno1, addresses: [{subnet: sub_p4, ip: ten}]}]}`, "interfaces[0].addresses[0].ip", "no IP address"},
	{"an address is one", `{interfaces: [{name: eno1, addresses: [{subnet: sub_p4, ip: 10.30.0.7}]}]}`, "interfaces[0].addresses[0].ip", "not in the subnet"},
	{"an address is one", `{interfaces: [{name: eno1, addresses: [{subnet: sub_p4, ip: 10.20.0.120}]}]}`, "interfaces[0].addresses[0].ip", "dynamic range"},
	{"an address is one", `{interfaces: [{name: eno1, addresses: [{subnet: sub_p4, ip: 10.20.0.1}]}]}`, "interfaces[0].addresses[0].ip", "gateway"},
	{"an address is one", `{interfaces: [{name: eno1, addresses: [{subnet: sub_p4, ip: 10.20.0.9}]}]}`, "interfaces[0].addresses[0].ip", "taken: it is given out as machine to m2.lon1.example"},
	{"an address is one", `{interfaces: [{name: eno1, dhcp4: true, addresses: [{subnet: sub_p4}]}]}`, "interfaces[0].addresses[0].subnet", "by DHCP"},
	{"an address is one", `{interfaces: [{name: eno1, addresses: [{subnet: sub_p4}, {subnet: 10.20.0.0/24}]}]}`, "interfaces[0].addresses[1].subnet", "one of each subnet"},
	{"an address is one", `{interfaces: [{name: eno1, addresses: [{subnet: sub_p4, ip: 10.20.0.7}]}, {name: eno2, addresses: [{subnet: sub_p4, ip: 10.20.0.7}]}]}`, "interfaces[1].addresses[0].ip", "twice"},
	{"an interface is in one network", `{interfaces: [{name: eno1, addresses: [{subnet: sub_p4}, {subnet: office}]}]}`, "interfaces[0].addresses[1].subnet", "eno1 is in network prov"},
	{"an interface is in one network", `{interfaces: [{name: v, vlan: {parent: eno1, id: 100}, addresses: [{subnet: sub_p4}]}]}`, "interfaces[0].addresses[0].subnet", "VLAN 100, which is network office"},
	{"an interface is in one network", `{interfaces: [{name: eno1, addresses: [{subnet: sub_p4}]}, {name: eno2, addresses: [{subnet: blue}]}]}`, "interfaces[1].addresses[0].subnet", "VRF blue"},
	{"a family has one default", `{interfaces: [{name: eno1, addresses: [{subnet: sub_p4, gateway: true}]}, {name: eno2, addresses: [{subnet: office, gateway: true}]}]}`, "interfaces[1].addresses[0].gateway", "IPv4 already"},
	{"a family has one default", `{interfaces: [{name: eno1, addresses: [{subnet: blue, gateway: true}]}]}`, "interfaces[0].addresses[0].gateway", "no gateway"},
	{"a family has one default", `{interfaces: [{name: eno1, addresses: [{subnet: sub_p4, gateway: true}]}, {name: eno2, dhcp4: true}]}`, "interfaces[1]", "by DHCP"},
	{"what lies on", `{interfaces: [{name: eno1, mtu: 9000, addresses: [{subnet: sub_p4}]}]}`, "interfaces[0].mtu", "network prov, whose MTU is 1500"},
	{"what lies on", `{interfaces: [{name: eno1, mtu: 1000, addresses: [{subnet: sub_p6}]}]}`, "interfaces[0].mtu", "at least 1280"},
	{"what lies on", `{interfaces: [{name: eno1, mtu: 1500}, {name: v, vlan: {parent: eno1, id: 100}, addresses: [{subnet: office}]}]}`, "interfaces[0].mtu", "v, with an MTU of 9000"},
	{"something has an address", `{interfaces: [{name: eno1}]}`, "interfaces", "no interface has an address"},
}

func TestRefused(t *testing.T) {
	for _, c := range refused {
		_, err := Check(config(t, c.config), site())
		var e *sprout.Error
		if !errors.As(err, &e) || e.Field != c.field || !strings.Contains(e.Message, c.says) {
			t.Errorf("%s: want %s: …%s…, got %#v", c.config, c.field, c.says, err)
		}
	}
	for _, r := range rules {
		if !slices.ContainsFunc(refused, func(c struct{ rule, config, field, says string }) bool { return strings.HasPrefix(r.says, c.rule) }) {
			t.Errorf("no test breaks the rule that %s", r.says)
		}
	}
}

// full is a bond with a VLAN on it, a bridge over a port, and a port without
// anything.
const full = `
interfaces:
- name: bond0
  bond: {members: [eno1, "52:54:00:00:00:02"], mode: 802.3ad, lacpRate: fast, xmitHashPolicy: layer3+4}
  addresses: [{subnet: 10.20.0.0/24, ip: 10.20.0.7}, {subnet: "fd00:20::/64"}]
- name: bond0.100
  vlan: {parent: bond0, id: 100}
  addresses: [{subnet: office, gateway: true}]
- name: br0
  bridge: {members: [eno3]}
  dhcp6: true
- {name: spare, mac: "52:54:00:00:00:04"}
`

func set(t *testing.T, c sprout.NetworkConfig) []sprout.LinkSetup {
	t.Helper()
	var given []sprout.Address
	around := Surroundings{Subnets: map[sprout.SubnetID]sprout.Subnet{}, Resolver: netip.MustParseAddr("10.20.0.2"), Domain: "lon1.example"}
	for _, n := range site().Networks {
		for _, s := range n.Subnets {
			around.Subnets[s.ID] = s
		}
	}
	for i, w := range Wanted(c) {
		ip := w.IP
		if !ip.IsValid() {
			ip = around.Subnets[w.Subnet].CIDR.Addr()
			for range 10 + i {
				ip = ip.Next()
			}
		}
		given = append(given, sprout.Address{Subnet: w.Subnet, IP: ip, MAC: w.MAC})
	}
	return Setup(c, given, around)
}

func TestKeptAndRendered(t *testing.T) {
	kept, err := Check(config(t, full), site())
	if err != nil {
		t.Fatal(err)
	}
	again, err := Check(kept, site())
	if err != nil {
		t.Fatal(err)
	}
	if a, b := text(t, kept), text(t, again); a != b {
		t.Errorf("what is kept is not kept alike:\n%s\n%s", a, b)
	}
	got, err := Render(set(t, kept))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("it is not testdata/full.yaml:\n%s", got)
	}
	for _, l := range set(t, kept) { // of the office, on a VLAN of the bond
		if want := map[string]int{"bond0.100": 1}[l.Name]; len(l.NTP) != want {
			t.Errorf("%s has the time servers %v, want %d", l.Name, l.NTP, want)
		}
	}
	wants := Wanted(kept)
	names := Names("m1.lon1.example", wants, []bool{true, false, true})
	if want := []string{"m1.lon1.example", "m1.lon1.example", "bond0-100.m1.lon1.example"}; !slices.Equal(names, want) {
		t.Errorf("names are %v, want %v", names, want)
	}
	for _, w := range wants {
		if w.MAC != "52:54:00:00:00:01" {
			t.Errorf("%s has the MAC %s, not that of the bond's first member", w.Interface, w.MAC)
		}
	}
}
