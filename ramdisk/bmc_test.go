package ramdisk

import (
	"net/netip"
	"testing"
)

// hostRecord is a type 42 record whose Redfish service is at the address.
func hostRecord(ip netip.Addr) []byte {
	protocol := make([]byte, 91)
	protocol[serviceFormat] = 2
	if ip.Is4() {
		protocol[serviceFormat] = 1
	}
	copy(protocol[serviceAddress:], ip.AsSlice())
	usb := []byte{2, 1, 2, 3, 4, 5, 6} // a device of a kind, and what that is
	raw := append([]byte{42, 0, 0, 0, overNetwork, byte(len(usb))}, usb...)
	raw = append(raw, 2, 9, 2, 0xff, 0xff) // two protocols, the first is another
	return append(append(raw, redfishOverIP, byte(len(protocol))), protocol...)
}

func TestRedfishServiceOfTheFirmware(t *testing.T) {
	for text, want := range map[string]string{"10.0.5.11": "10.0.5.11", "fd00::11": "fd00::11", "169.254.0.17": "invalid IP", "0.0.0.0": "invalid IP"} {
		if got := redfishService(hostRecord(netip.MustParseAddr(text))).String(); got != want {
			t.Errorf("%s is read as %s", text, got)
		}
	}
	whole := hostRecord(netip.MustParseAddr("10.0.5.11"))
	for n := range whole {
		if got := redfishService(whole[:n]); got.IsValid() {
			t.Errorf("of %d bytes it is %s", n, got)
		}
	}
}
