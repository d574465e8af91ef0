package ipamtest

import (
	"testing"

	"sprout"
)

// quarantine takes an address from the machine that cannot use it, and from
// nobody else.
func quarantine(t *testing.T, s Site) {
	had := s.must(t, s.request(0))
	other := s.must(t, s.request(1))
	conflict := sprout.AddressConflict{Subnet: s.Subnet, IP: had.IP, MAC: "52:54:00:00:09:09", Machine: s.Machines[0], By: "a test"}
	for range 2 { // it may be repeated
		if err := s.Provider.Quarantine(t.Context(), conflict); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.must(t, s.request(0)); got.IP == had.IP || got.IP == other.IP {
		t.Errorf("%s was given out again", got.IP)
	}
	if got := s.reserve(t, sprout.AddressBlock{First: had.IP}); got != "conflict" {
		t.Errorf("%s could be reserved: %s", had.IP, got)
	}
	conflict.IP = other.IP // of another machine than is said
	if err := s.Provider.Quarantine(t.Context(), conflict); err != nil {
		t.Fatal(err)
	}
	if got := s.must(t, s.request(1)); got.IP != other.IP {
		t.Errorf("%s was taken from its machine", other.IP)
	}
	if err := s.Provider.Release(t.Context(), s.Machines[1]); err != nil {
		t.Fatal(err)
	}
	if got := s.reserve(t, sprout.AddressBlock{First: other.IP}); got != "conflict" {
		t.Errorf("%s could be reserved once its machine had gone: %s", other.IP, got)
	}
	conflict.IP = at("10.9.0.13") // which nobody has
	if err := s.Provider.Quarantine(t.Context(), conflict); err != nil {
		t.Fatal(err)
	}
	if got := s.reserve(t, sprout.AddressBlock{First: conflict.IP}); got != "conflict" {
		t.Errorf("%s could be reserved: %s", conflict.IP, got)
	}
	conflict.IP = at("10.8.0.1")
	if err := s.Provider.Quarantine(t.Context(), conflict); sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("what is not of the subnet: %v", err)
	}
}
