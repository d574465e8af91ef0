package dhcp

import (
	"net/netip"
	"strconv"
	"strings"
)

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

// readRoute writes a route as RFC 3442 does: as much of the prefix as counts.
func readRoute(text string) ([]byte, bool) {
	to, via, _ := strings.Cut(text, "=")
	p, err := netip.ParsePrefix(to)
	router, ok := readAddress(4)(via)
	if err != nil || !ok || !p.Addr().Is4() || p != p.Masked() {
		return nil, false
	}
	data := append([]byte{byte(p.Bits())}, p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
	return append(data, router...), true
}

func showRoutes(data []byte) (string, bool) {
	var all []string
	for len(data) > 0 {
		bits := int(data[0])
		n := (bits + 7) / 8
		if bits > 32 || len(data) < 1+n+4 {
			return "", false
		}
		to := showAddress(append(append([]byte{}, data[1:1+n]...), make([]byte, 4-n)...))
		all = append(all, to+"/"+strconv.Itoa(bits)+"="+showAddress(data[1+n:1+n+4]))
		data = data[1+n+4:]
	}
	return strings.Join(all, ", "), len(all) > 0
}
