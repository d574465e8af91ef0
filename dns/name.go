package dns

import (
	"strings"

	"sprout"
)

// MaxName is how many octets a name on the wire has at most (RFC 1035 section 2.3.4).
const MaxName = 255

// Canonical returns name in lower case without the final dot: as records are
// kept and compared (RFC 4343).
func Canonical(name string) string {
	return strings.TrimSuffix(strings.ToLower(name), ".")
}

// CheckHost allows host names: labels of 1-63 letters, digits and inner
// hyphens, 253 octets in all (RFC 1123 section 2.1, RFC 1035 section 2.3.4).
// name is canonical.
func CheckHost(field, name string) error { return checkLabels(field, name, "") }

// CheckName allows what CheckHost does, and underscores, as names of services
// have (RFC 8552), and the slash of classless reverse zones (RFC 2317).
func CheckName(field, name string) error { return checkLabels(field, name, "_/") }

func checkLabels(field, name, more string) error {
	if name == "" || len(name) > MaxName-2 {
		return sprout.InvalidField(field, "cannot publish a name of %d characters: 1 to %d are allowed", len(name), MaxName-2)
	}
	for label := range strings.SplitSeq(name, ".") {
		if !goodLabel(label, more) {
			return sprout.InvalidField(field, "cannot publish %q: label %q must be 1-63 letters, digits and inner hyphens", name, label)
		}
	}
	return nil
}

func goodLabel(label, more string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for i := range len(label) {
		c := label[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && strings.IndexByte(more, c) < 0 {
			return false
		}
	}
	return true
}

// Wire returns a canonical name in the form of messages: each label after its
// length, then the root's zero. The empty name is the root.
func Wire(name string) string {
	if name == "" {
		return "\x00"
	}
	wire := make([]byte, 0, len(name)+2)
	for label := range strings.SplitSeq(name, ".") {
		wire = append(append(wire, byte(len(label))), label...)
	}
	return string(append(wire, 0))
}

// Unwire is the reverse of Wire for names that it made.
func Unwire(wire string) string {
	var name []byte
	for len(wire) > 1 && int(wire[0]) < len(wire) {
		if name != nil {
			name = append(name, '.')
		}
		name = append(name, wire[1:1+wire[0]]...)
		wire = wire[1+wire[0]:]
	}
	return string(name)
}
