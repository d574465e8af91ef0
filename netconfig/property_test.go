package netconfig

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"sprout"
)

// reread carries a value over by its JSON form, which is what an API takes.
func reread(from, to any) error {
	raw, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, to)
}

func text(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// random makes a configuration that may or may not meet the rules.
func random(r *rand.Rand) (c sprout.NetworkConfig) {
	refs := []string{"eno1", "eno2", "eno3", "spare"}
	subnets := [][]string{{"sub_p4", "sub_p6"}, {"sub_o4"}}
	c.Interfaces = []sprout.InterfaceConfig{{Name: "spare", MAC: "52:54:00:00:00:04"}}
	pick := func() (members []string) {
		r.Shuffle(len(refs), func(i, j int) { refs[i], refs[j] = refs[j], refs[i] })
		n := 1 + r.IntN(min(3, len(refs)))
		members, refs = slices.Clone(refs[:n]), slices.Clone(refs[n:])
		return members
	}
	modes := []string{"", "balance-rr", "active-backup", "802.3ad", "balance-tlb"}
	for i := range 1 + r.IntN(4) {
		f := sprout.InterfaceConfig{Name: fmt.Sprintf("if%d", i)}
		tagged := false
		if len(refs) == 0 {
			break
		}
		switch r.IntN(4) {
		case 0:
			f.Bond = &sprout.Bond{Members: pick(), Mode: modes[r.IntN(len(modes))], MIIMon: r.IntN(2) * 50}
		case 1:
			f.VLAN, tagged = &sprout.VLANInterface{Parent: refs[r.IntN(len(refs))], ID: 100}, true
		case 2:
			f.Bridge = &sprout.BridgeInterface{Members: pick(), STP: r.IntN(2) == 0}
		default:
			if f.Name = refs[0]; f.Name == "spare" {
				continue
			}
			refs = refs[1:]
		}
		which := r.IntN(2)
		if tagged {
			which = 1
		}
		for _, s := range subnets[which] {
			if r.IntN(3) > 0 {
				f.Addresses = append(f.Addresses, sprout.StaticAddress{Subnet: s, Gateway: r.IntN(4) == 0})
			}
		}
		f.DHCP4, f.DHCP6 = r.IntN(5) == 0, r.IntN(5) == 0
		c.Interfaces = append(c.Interfaces, f)
		if !tagged {
			refs = append(refs, f.Name)
		}
	}
	return c
}

// back reads a network-config into what it was made of.
func back(t *testing.T, raw string) map[string]sprout.LinkSetup {
	t.Helper()
	var d document
	if err := yaml.Load([]byte(raw), &d, yaml.WithKnownFields()); err != nil {
		t.Fatalf("%v:\n%s", err, raw)
	}
	links := map[string]sprout.LinkSetup{}
	add := func(name, mac string, c common, l sprout.LinkSetup) {
		l.Name, l.MAC, l.DHCP4, l.DHCP6, l.MTU = name, mac, c.DHCP4, c.DHCP6, c.MTU
		for _, a := range c.Addresses {
			l.Addresses = append(l.Addresses, netip.MustParsePrefix(a))
		}
		for _, r := range c.Routes {
			l.Routes = append(l.Routes, sprout.Route{To: netip.MustParsePrefix(r.To), Via: netip.MustParseAddr(r.Via), Metric: r.Metric})
		}
		if n := c.Nameservers; n != nil {
			l.DNS, l.Search = n.Addresses, n.Search
		}
		if _, twice := links[name]; twice {
			t.Errorf("%s is there twice:\n%s", name, raw)
		}
		links[name] = l
	}
	for name, e := range d.Ethernets {
		if e.SetName != name {
			t.Errorf("%s is called %s", name, e.SetName)
		}
		add(name, e.Match.MAC, e.common, sprout.LinkSetup{})
	}
	for name, b := range d.Bonds {
		p := b.Parameters
		add(name, b.MAC, b.common, sprout.LinkSetup{Bond: &sprout.Bond{Members: b.Interfaces, Mode: p.Mode, MIIMon: p.MIIMon, LACPRate: p.LACPRate, XmitHashPolicy: p.Hash, Primary: p.Primary}})
	}
	for name, v := range d.VLANs {
		add(name, "", v.common, sprout.LinkSetup{VLAN: &sprout.VLANInterface{Parent: v.Link, ID: v.ID}})
	}
	for name, b := range d.Bridges {
		add(name, b.MAC, b.common, sprout.LinkSetup{Bridge: &sprout.BridgeInterface{Members: b.Interfaces, STP: b.Parameters.STP, ForwardDelay: b.Parameters.ForwardDelay}})
	}
	return links
}

// plain is a setup with what is said by default said, and without time servers, for
// which cloud-init has a module of its own.
func plain(l sprout.LinkSetup) sprout.LinkSetup {
	l.NTP = nil
	if l.Bond != nil {
		b := *l.Bond
		if b.MIIMon == 0 {
			b.MIIMon = defaultMIIMon
		}
		l.Bond = &b
	}
	if l.Bridge != nil {
		b := *l.Bridge
		if b.STP && b.ForwardDelay == 0 {
			b.ForwardDelay = 15
		}
		l.Bridge = &b
	}
	if l.VLAN != nil {
		l.MAC = "" // its parent's
	}
	return l
}

// What meets the rules comes back from its rendering as it was, has at most one
// default route of a family, and lies on nothing with smaller frames.
func TestEveryRenderingReadsBack(t *testing.T) {
	kept := 0
	for seed := range uint64(3000) {
		c, err := Check(random(rand.New(rand.NewPCG(seed, 1))), site())
		if err != nil {
			continue
		}
		kept++
		links := set(t, c)
		raw, err := Render(links)
		if err != nil {
			t.Fatal(err)
		}
		got, defaults, sizes := back(t, raw), map[bool]int{}, map[string]int{}
		if len(got) != len(links) {
			t.Fatalf("seed %d: %d of %d interfaces came back:\n%s", seed, len(got), len(links), raw)
		}
		for _, l := range links {
			if a, b := text(t, plain(l)), text(t, got[l.Name]); a != b {
				t.Fatalf("seed %d: was\n%s, came back as\n%s", seed, a, b)
			}
			sizes[l.Name] = l.MTU
			for _, under := range lower(l.Bond, l.VLAN, l.Bridge) {
				if size, ok := sizes[under]; !ok || size < l.MTU {
					t.Fatalf("seed %d: %s (MTU %d) lies on %s (%d, set up before: %v)", seed, l.Name, l.MTU, under, size, ok)
				}
			}
			for _, r := range l.Routes {
				if r.To.Bits() == 0 {
					defaults[r.To.Addr().Is4()]++
				}
			}
		}
		if defaults[true] > 1 || defaults[false] > 1 {
			t.Fatalf("seed %d: default routes %v:\n%s", seed, defaults, raw)
		}
	}
	if kept < 300 {
		t.Errorf("only %d configurations met the rules: the generator is of no use", kept)
	}
}

// Debian 12's own cloud-init reads what we write.
func TestCloudInitReadsIt(t *testing.T) {
	cache := os.Getenv("CACHE")
	if cache == "" {
		cache = "/var/cache/sprout"
	}
	lib := filepath.Join(cache, "cloud-init/usr/lib/python3/dist-packages")
	if _, err := os.Stat(lib); err != nil {
		t.Skip("make cloud-init unpacks Debian's cloud-init: ", err)
	}
	kept, err := Check(config(t, full), site())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := Render(set(t, kept))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "python3", "-c", `
import json, sys, yaml
from cloudinit.net import network_state
s = network_state.parse_net_config_data(yaml.safe_load(sys.stdin), skip_broken=False)
print(json.dumps({i["name"]: [i["type"], len(i.get("subnets", []))] for i in s.iter_interfaces()}, sort_keys=True))`)
	cmd.Env, cmd.Stdin = append(os.Environ(), "PYTHONPATH="+lib), strings.NewReader(raw)
	out, err := cmd.CombinedOutput()
	want := `{"bond0": ["bond", 2], "bond0.100": ["vlan", 1], "br0": ["bridge", 1], "eno1": ["physical", 0], "eno2": ["physical", 0], "eno3": ["physical", 0], "spare": ["physical", 0]}`
	if err != nil || strings.TrimSpace(string(out)) != want {
		t.Errorf("%v: cloud-init read\n%s, want\n%s", err, out, want)
	}
}
