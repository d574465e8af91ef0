package server_test

import (
	"net/netip"
	"strings"
	"sync"
	"testing"

	"sprout"
	"sprout/api"
	"sprout/client"
)

// Operators who ask for the next prefix at the same time get one each, or are told
// what fills the prefix; and what cannot be asked for together is refused by field.
func TestSubnetFromTheNextPrefix(t *testing.T) {
	p := run(t)
	must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	var network api.CreateNetwork
	network.Body.Site, network.Body.Name, network.Body.CIDR = "lon1", "prov", "10.20.0.0/24"
	must(client.Call(t.Context(), p.admin, api.NetworkCreate, network))(t)

	var in api.CreateSubnet
	in.Body.Network, in.Body.From, in.Body.Prefix, in.Body.Gateway = "prov", "10.20.0.0/22", 24, "first"
	next := api.NextSubnet{NetworkRef: api.NetworkRef{Network: "prov"}, From: "10.20.0.0/22", Prefix: 24, Gateway: "first"}
	if free := must(client.Call(t.Context(), p.admin, api.SubnetNext, next))(t); free.CIDR.String() != "10.20.1.0/24" || free.Gateway.String() != "10.20.1.1" {
		t.Errorf("shown %+v", free)
	}
	const operators = 4
	got := map[netip.Prefix]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range operators {
		all.Go(func() {
			made, err := client.Call(t.Context(), p.admin, api.SubnetCreate, in)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				got[made.CIDR]++
			} else if sprout.KindOf(err) != sprout.Conflict || fieldOf(err) != "from" || !strings.Contains(err.Error(), "10.20.0.0/24 (prov)") {
				t.Errorf("one too many: %v", err)
			}
		})
	}
	all.Wait()
	for _, want := range []string{"10.20.1.0/24", "10.20.2.0/24", "10.20.3.0/24"} {
		if got[netip.MustParsePrefix(want)] != 1 {
			t.Errorf("%s was not given once: %v", want, got)
		}
	}
	for field, wrong := range map[string]func(in *api.CreateSubnet){
		"from":    func(in *api.CreateSubnet) { in.Body.CIDR = "10.30.0.0/24" },
		"prefix":  func(in *api.CreateSubnet) { in.Body.From = "" },
		"dynamic": func(in *api.CreateSubnet) { in.Body.Dynamic = []string{"10.20.4.1-10.20.4.9"} },
		"gateway": func(in *api.CreateSubnet) { in.Body.From, in.Body.Gateway = "10.40.0.0/16", "second" },
	} {
		in := in
		wrong(&in)
		if _, err := client.Call(t.Context(), p.admin, api.SubnetCreate, in); fieldOf(err) != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}
