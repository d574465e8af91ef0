package dhcp

import (
	"cmp"

	"sprout"
)

// MostBytes is how long the value of an option may be that an operator sets: an
// answer of DHCP has hardly more room, as a client need not take more than 576
// bytes (RFC 2131 section 2).
const MostBytes = 300

// CheckSetting reads what an operator sets: Name is a name or a number. It comes
// back as it is kept, and with what is sent. Errors are Invalid and name the
// field.
func CheckSetting(s sprout.DHCPSetting) (out sprout.SiteDHCPOption, err error) {
	if s.Version = cmp.Or(s.Version, 4); s.Version != 4 && s.Version != 6 {
		return out, sprout.InvalidField("version", "cannot set an option of version %d: 4 is DHCP, 6 is DHCPv6", s.Version)
	}
	code, o, err := findOption(s.Version, s.Name)
	if err != nil {
		return out, err
	}
	if o.owned != "" {
		return out, sprout.InvalidField("option", "cannot set %s: %s", o.name, o.owned)
	}
	data, ok := forms[o.form].read(s.Value)
	switch {
	case !ok:
		return out, sprout.InvalidField("value", "cannot set %s to %q: it takes %s", o.name, s.Value, forms[o.form].wants)
	case len(data) > MostBytes:
		return out, sprout.InvalidField("value", "cannot set %s: it has %d bytes, and an answer has room for at most %d", o.name, len(data), MostBytes)
	}
	if s.Class != "" {
		class, err := sprout.ParseDHCPClass(s.Class)
		if err != nil {
			return out, err
		}
		s.Class = class.String()
	}
	s.Code, s.Name, s.Value = code, o.name, OptionValue(s.Version, code, data)
	return sprout.SiteDHCPOption{DHCPSetting: s, Data: data}, nil
}
