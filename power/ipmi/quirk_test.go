package ipmi

import (
	"fmt"
	"testing"

	"sprout"
	"sprout/power"
)

func TestQuirks(t *testing.T) {
	for _, c := range []struct {
		manufacturer uint32
		device       power.BootDevice
		mode         sprout.BootMode
		want         string
	}{
		{674, power.BootDisk, sprout.UEFI, "a0 08 00 00 00"}, // no row
		{674, power.BootNetwork, sprout.BIOS, "80 04 00 00 00"},
		{10876, power.BootDisk, sprout.UEFI, "a0 24 00 00 00"},
		{10876, power.BootDisk, sprout.BIOS, "80 08 00 00 00"},
		{10876, power.BootNetwork, sprout.UEFI, "a0 04 00 00 00"},
	} {
		q := quirkOf(c.manufacturer, 1)
		flags := q.flags(c.device, c.mode)
		if got := fmt.Sprintf("% x", flags.Pack()); got != c.want {
			t.Errorf("manufacturer %d, %s, %s: boot flags %s, want %s", c.manufacturer, c.device, c.mode, got, c.want)
		}
		kept := flags
		kept.BootFlagsValid = false
		if q.same(flags, kept) {
			t.Errorf("manufacturer %d: flags that are not valid count as kept", c.manufacturer)
		}
	}
}
