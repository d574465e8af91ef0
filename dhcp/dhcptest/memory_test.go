package dhcptest_test

import (
	"testing"

	"sprout/dhcp/builtin"
	"sprout/dhcp/dhcptest"
)

func TestMemory(t *testing.T) {
	dhcptest.Run(t, func(_ *testing.T, s dhcptest.Seed) builtin.Ledger { return dhcptest.NewMemory(s) })
}
