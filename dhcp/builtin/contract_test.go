package builtin_test

import (
	"testing"

	"sprout/dhcp"
	"sprout/dhcp/builtin"
	"sprout/dhcp/dhcptest"
)

func TestContract(t *testing.T) {
	if dhcptest.Isolate(t) {
		return
	}
	dhcptest.Provider(t, func(t *testing.T, w *dhcptest.Wire) dhcp.Provider {
		s, err := builtin.New(builtin.Config{
			Interface: w.Device, Address: w.Address, Ledger: w.Ledger,
			Domain: func() string { return dhcptest.Domain }, LeaseTime: dhcptest.LeaseTime,
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
