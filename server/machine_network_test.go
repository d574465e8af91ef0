package server_test

import (
	"errors"
	"strings"
	"testing"

	"sprout"
	"sprout/api"
	"sprout/client"
)

// A network configuration is checked against the site, kept, shown as it was
// written, planned, and held against the site again by a deploy.
func TestMachineNetwork(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	var network api.CreateNetwork
	network.Body.Site, network.Body.Name, network.Body.CIDR, network.Body.Gateway = "lon1", "prov", "10.20.0.0/24", "10.20.0.1"
	must(client.Call(t.Context(), p.admin, api.NetworkCreate, network))(t)
	network.Body.Name, network.Body.VLAN, network.Body.CIDR, network.Body.Gateway = "office", 100, "10.30.0.0/24", ""
	must(client.Call(t.Context(), p.admin, api.NetworkCreate, network))(t)
	var machine api.CreateMachine
	machine.Body.Site, machine.Body.Name, machine.Body.MACs = "lon1", "m1", []string{"52:54:00:00:00:01", "52:54:00:00:00:02"}
	m := must(client.Call(t.Context(), p.admin, api.MachineCreate, machine))(t)
	ref := api.MachineRef{Machine: "m1"}

	if c := must(client.Call(t.Context(), p.admin, api.MachineNetworkShow, ref))(t); len(c.Interfaces) != 0 {
		t.Errorf("nobody has set anything, but it is %+v", c)
	}
	in := api.SetMachineNetwork{MachineRef: ref}
	in.Body.Interfaces = []sprout.InterfaceConfig{
		{Name: "lan0", MAC: "52:54:00:00:00:01"}, {Name: "lan1", MAC: "52:54:00:00:00:02"},
		{Name: "bond0", Bond: &sprout.Bond{Members: []string{"lan0", "lan1"}}, Addresses: []sprout.StaticAddress{{Subnet: "prov", IP: "10.20.0.7"}}},
		{Name: "bond0.100", VLAN: &sprout.VLANInterface{Parent: "bond0", ID: 101}, Addresses: []sprout.StaticAddress{{Subnet: "10.30.0.0/24"}}},
	}
	if _, err := client.Call(t.Context(), p.admin, api.MachineNetworkSet, in); fieldOf(err) != "interfaces[3].vlan.id" {
		t.Errorf("a VLAN that the site has not: %v", err)
	}
	in.Body.Interfaces[3].VLAN.ID = 100
	var hold api.HoldAddress
	hold.Body.Subnet, hold.Body.IP, hold.Body.Seconds = "prov", "10.20.0.7", 600
	held := must(client.Call(t.Context(), p.admin, api.AddressHold, hold))(t)
	if _, err := client.Call(t.Context(), p.admin, api.MachineNetworkSet, in); sprout.KindOf(err) != sprout.Conflict {
		t.Errorf("an address that is held: %v", err)
	}
	must(client.Call(t.Context(), p.admin, api.AddressRelease, api.AddressRef{Address: string(held.Items[0].ID)}))(t)
	set := must(client.Call(t.Context(), p.admin, api.MachineNetworkSet, in))(t)
	shown := must(client.Call(t.Context(), p.admin, api.MachineNetworkShow, ref))(t)
	if len(shown.Interfaces) != 4 || len(set.Interfaces) != 4 || shown.Interfaces[2].Addresses[0].Subnet != "10.20.0.0/24" || shown.Interfaces[2].Bond.Mode != "active-backup" {
		t.Errorf("set %+v, shown %+v", set, shown)
	}
	if after := must(client.Call(t.Context(), p.admin, api.MachineShow, ref))(t); after.Rev == m.Rev {
		t.Error("the machine's revision is what it was")
	}

	office := api.SubnetRef{Subnet: "10.30.0.0/24"}
	for _, err := range []error{
		second(client.Call(t.Context(), p.admin, api.SubnetDelete, office)), second(client.Call(t.Context(), p.admin, api.NetworkDelete, api.NetworkRef{Network: "office"})),
	} {
		if sprout.KindOf(err) != sprout.Conflict || !strings.Contains(err.Error(), "1 of the site's machines configured with it: m1") || !strings.Contains(remedyOf(err), "sprout machine network set m1") {
			t.Errorf("what m1 is configured with: %v", err)
		}
	}
	smaller := "10.20.0.8/29" // without 10.20.0.7, which is named; any of 10.30.0.0/25 will do
	if err := second(client.Call(t.Context(), p.admin, api.SubnetUpdate, resized("10.20.0.0/24", smaller))); sprout.KindOf(err) != sprout.Conflict || fieldOf(err) != "cidr" || !strings.Contains(err.Error(), "m1") {
		t.Errorf("without the address that m1 is configured with: %v", err)
	}
	if report := must(client.Call(t.Context(), p.admin, api.SubnetShow, office))(t); len(report.Configured) != 1 || report.Configured[0] != "m1" {
		t.Errorf("shown are %v", report.Configured)
	}
	must(client.Call(t.Context(), p.admin, api.SubnetUpdate, resized("10.30.0.0/24", "10.30.0.0/25")))(t)
	in.Body.Interfaces[3].Addresses = nil
	must(client.Call(t.Context(), p.admin, api.MachineNetworkSet, in))(t)
	must(client.Call(t.Context(), p.admin, api.SubnetDelete, api.SubnetRef{Subnet: "10.30.0.0/25"}))(t)
	again := api.SetMachineNetwork{MachineRef: ref, Body: shown}
	if _, err := client.Call(t.Context(), p.admin, api.MachineNetworkSet, again); fieldOf(err) != "interfaces[3].addresses[0].subnet" {
		t.Errorf("a subnet that is gone: %v", err)
	}
	must(client.Call(t.Context(), p.admin, api.MachineNetworkSet, api.SetMachineNetwork{MachineRef: ref, Body: sprout.NetworkConfig{Interfaces: []sprout.InterfaceConfig{}}}))(t)
	if c := must(client.Call(t.Context(), p.admin, api.MachineNetworkShow, ref))(t); len(c.Interfaces) != 0 {
		t.Errorf("it is cleared, but %+v", c)
	}
}

// resized asks for another prefix of a subnet, and for no gateway.
func resized(subnet, to string) (in api.UpdateSubnet) {
	none := ""
	in.Subnet, in.Body.CIDR, in.Body.Gateway = subnet, &to, &none
	return in
}

func second[T any](_ T, err error) error { return err }

func remedyOf(err error) string {
	var known *sprout.Error
	_ = errors.As(err, &known)
	if known == nil {
		return ""
	}
	return known.Remedy
}
