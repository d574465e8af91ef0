package builtin

import (
	"strings"

	"sprout"
)

// canonicalName returns name in lower case without the final dot: as records
// are kept and compared (RFC 4343).
func canonicalName(name string) string {
	return strings.TrimSuffix(strings.ToLower(name), ".")
}

// canonical checks a record and returns it as it is kept.
func canonical(r sprout.Record) (sprout.Record, error) {
	r.Name = canonicalName(r.Name)
	if err := checkName(r.Name); err != nil {
		return r, err
	}
	if !r.IP.IsValid() {
		return r, sprout.InvalidField("ip", "cannot publish %s without an address", r.Name)
	}
	r.IP = r.IP.Unmap().WithZone("")
	if r.TTL < 0 {
		return r, sprout.InvalidField("ttl", "cannot publish %s for %d seconds: 0 or more is allowed", r.Name, r.TTL)
	}
	if r.TTL == 0 {
		r.TTL = DefaultTTL
	}
	return r, nil
}

// checkName allows host names: labels of 1-63 letters, digits and inner
// hyphens, 253 octets in all (RFC 1123 section 2.1, RFC 1035 section 2.3.4).
func checkName(name string) error {
	if name == "" || len(name) > 253 {
		return sprout.InvalidField("name", "cannot publish a name of %d characters: 1 to 253 are allowed", len(name))
	}
	for label := range strings.SplitSeq(name, ".") {
		if !goodLabel(label) {
			return sprout.InvalidField("name", "cannot publish %q: label %q must be 1-63 letters, digits and inner hyphens", name, label)
		}
	}
	return nil
}

func goodLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for i := range len(label) {
		c := label[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
