package agent

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"strings"

	"sprout"
	network "sprout/network/builtin"
	"sprout/sitestore"
)

// checks are what keeps a wrong record of the centre's from taking down what the
// site serves: whatever an older centre, a restored database or a defect sends.
var checks = sitestore.Checks{Subnet: network.CheckServed, Reservation: checkReservation}

func checkReservation(r sprout.Reservation) error {
	for _, one := range r.All() {
		of := cmp.Or(one.MAC, r.MAC)
		if mac, err := net.ParseMAC(of); err != nil || len(mac) != 6 {
			return sprout.InvalidField("mac", "%q is no MAC address", of)
		}
		if !one.IP.IsValid() || one.IP.IsUnspecified() || one.IP.IsMulticast() {
			return sprout.InvalidField("ip", "%s is the address of no host", one.IP)
		}
	}
	return nil
}

// saidRefusals is how many refused records are told of by name.
const saidRefusals = 5

// sayRefused says which records the site does not go by; none ends the trouble.
func (s *site) sayRefused() {
	list := s.store.Refused()
	if len(list) == 0 {
		s.troubles.Set(sprout.RecordRefused, "", "")
		return
	}
	var said []string
	for i, r := range list {
		if i == saidRefusals {
			said = append(said, fmt.Sprintf("and %d more", len(list)-i))
			break
		}
		said = append(said, fmt.Sprintf("%s %s: %s", r.Kind, named(r), r.Why))
	}
	s.troubles.Set(sprout.RecordRefused, fmt.Sprintf("the control plane sent what the site does not go by (%d): %s", len(list), strings.Join(said, "; ")), "")
}

// named is what people know a refused record by, beside its key.
func named(r sitestore.Refusal) string {
	var of struct{ CIDR, IP, Name string }
	_ = json.Unmarshal(r.Body, &of) // where it cannot be read, the key is all
	for _, name := range []string{of.CIDR, of.IP, of.Name} {
		if name != "" {
			return fmt.Sprintf("%s (%s)", r.Key, name)
		}
	}
	return r.Key
}
