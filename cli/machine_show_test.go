package cli

import (
	"strings"
	"testing"

	"sprout"
)

// What a BMC told of itself is shown on one line, without what would move a terminal's
// cursor, and each quirk with what is done otherwise.
func TestQuirksAreShown(t *testing.T) {
	for _, c := range []struct {
		about *sprout.BMCAbout
		want  []string
		not   string
	}{
		{nil, nil, "BMC says"},
		{&sprout.BMCAbout{Firmware: "1.4"}, []string{"BMC says:  firmware 1.4\n"}, "Quirks"},
		{&sprout.BMCAbout{Vendor: "Super\x1b[2Jmicro", Model: "X12", Firmware: "1.4", Quirks: []sprout.Quirk{{Name: "usb-cd", Does: "starts from `UsbCd`"}, {Name: "say-mode", Does: "says the mode"}}},
			[]string{"Supermicro X12, firmware 1.4\n", "Quirks of the BMC\n", "  usb-cd    starts from `UsbCd`\n", "  say-mode  says the mode\n"}, "\x1b"},
	} {
		var out strings.Builder
		e := newEnv(strings.NewReader(""), &out, &strings.Builder{})
		e.showMachine(sprout.Machine{Name: "m1", BMC: &sprout.BMC{Driver: "redfish"}, BMCAbout: c.about})
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%+v: %q is missing in:\n%s", c.about, want, out.String())
			}
		}
		if strings.Contains(out.String(), c.not) {
			t.Errorf("%+v: %q is in:\n%s", c.about, c.not, out.String())
		}
	}
}
