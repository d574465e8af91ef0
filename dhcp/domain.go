package dhcp

import "strings"

// Domains writes the names that can be written, as option 119 has them (RFC 3397).
func Domains(names []string) (data []byte) {
	for _, name := range names {
		if one, ok := readDomain(name); ok {
			data = append(data, one...)
		}
	}
	return data
}

// readDomain writes a name as RFC 1035 section 3.1 does, without compression.
func readDomain(text string) (data []byte, ok bool) {
	text = strings.TrimSuffix(text, ".")
	for _, label := range strings.Split(text, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, false
		}
		data = append(append(data, byte(len(label))), label...)
	}
	return append(data, 0), len(data) < 255
}

// showDomains shows names, also compressed ones (RFC 1035 section 4.1.4).
func showDomains(data []byte) (string, bool) {
	var all []string
	for at := 0; at < len(data); {
		name, next, ok := domainAt(data, at)
		if !ok {
			return "", false
		}
		all, at = append(all, name), next
	}
	return strings.Join(all, ", "), len(all) > 0
}

// domainAt reads the name that begins at, and tells where the next one does.
func domainAt(data []byte, at int) (name string, next int, ok bool) {
	const pointer, most = 0xc0, 128 // labels: a loop of pointers has more
	var labels []string
	for range most {
		switch n := int(data[at]); {
		case n == 0:
			if next == 0 {
				next = at + 1
			}
			return strings.Join(labels, "."), next, true
		case n&pointer == pointer && at+1 < len(data):
			if next == 0 {
				next = at + 2
			}
			at = n&^pointer<<8 | int(data[at+1])
		case n&pointer == 0 && at+1+n < len(data):
			labels = append(labels, string(data[at+1:at+1+n]))
			at += 1 + n
		default:
			return "", 0, false
		}
		if at >= len(data) {
			return "", 0, false
		}
	}
	return "", 0, false
}
