package agent

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"

	"sprout"
	"sprout/sitestore"
)

// What is advertised follows how each subnet of the link is to be had.
func TestAdvertise(t *testing.T) {
	const gateway = "fd00:20::1"
	for name, c := range map[string]struct {
		subnets []sprout.Subnet
		want    string
	}{
		"managed by default": {[]sprout.Subnet{{}}, "M [fd00:20::/64] router 0s dns [fd00:20::1] search [lon1.example]"},
		"managed":            {[]sprout.Subnet{{Advertise: sprout.Managed, Gateway: netip.MustParseAddr(gateway)}}, "M [fd00:20::/64] router 30m0s dns [fd00:20::1] search [lon1.example]"},
		"SLAAC":              {[]sprout.Subnet{{Advertise: sprout.SLAAC}}, " [fd00:20::/64 A] router 0s dns [fd00:20::1] search [lon1.example]"},
		"stateless":          {[]sprout.Subnet{{Advertise: sprout.Stateless}}, "O [fd00:20::/64 A] router 0s dns [fd00:20::1] search [lon1.example]"},
		"none":               {[]sprout.Subnet{{Advertise: sprout.NoAdvertisement}}, " [] router 0s dns [] search []"},
		"of two kinds":       {[]sprout.Subnet{{Advertise: sprout.SLAAC}, {}}, "M [fd00:20::/64 A fd00:21::/64] router 0s dns [fd00:20::1] search [lon1.example]"},
		"one of two":         {[]sprout.Subnet{{}, {Advertise: sprout.NoAdvertisement}}, "M [fd00:20::/64] router 0s dns [fd00:20::1] search [lon1.example]"},
		"its own names":      {[]sprout.Subnet{{Domain: "rack.example"}}, "M [fd00:20::/64] router 0s dns [fd00:20::1] search [rack.example]"},
		"its search list":    {[]sprout.Subnet{{Search: []string{"a.example", "b.example"}}}, "M [fd00:20::/64] router 0s dns [fd00:20::1] search [a.example b.example]"},
	} {
		t.Run(name, func(t *testing.T) {
			store, err := sitestore.Open(filepath.Join(t.TempDir(), "site.db"), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close() //nolint:errcheck // of a test
			for i, sub := range c.subnets {
				sub.ID, sub.Network = sprout.SubnetID(fmt.Sprint("sub_", i)), "net_1"
				sub.CIDR = netip.MustParsePrefix(fmt.Sprintf("fd00:2%d::/64", i))
				raw, err := json.Marshal(sub)
				if err != nil {
					t.Fatal(err)
				}
				if err := store.Apply(t.Context(), sprout.Change{Seq: int64(i + 1), Kind: sprout.ChangeSubnet, Key: string(sub.ID), Body: raw}); err != nil {
					t.Fatal(err)
				}
			}
			s := &site{store: store, config: Config{Address6: netip.MustParsePrefix("fd00:20::1/64")}}
			w := s.advertise("lon1.example", false)
			flags, prefixes := map[bool]string{true: "M"}[w.Stateful]+map[bool]string{true: "O"}[w.Other], []string{}
			for _, p := range w.Prefixes {
				prefixes = append(prefixes, p.String()+map[bool]string{true: " A"}[p.Autonomous])
			}
			if got := fmt.Sprintf("%s %v router %s dns %v search %v", flags, prefixes, w.Router, w.DNS, w.Search); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
