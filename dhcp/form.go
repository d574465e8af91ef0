package dhcp

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
)

// A form is how the value of an option is written.
type form int

const (
	raw        form = iota // any bytes: hexadecimal
	address                // one IPv4 address
	addresses              // IPv4 addresses
	addresses6             // IPv6 addresses
	pairs                  // pairs of IPv4 addresses
	number8
	number16
	number32
	signed32
	numbers16
	flag    // 1 or 0
	words   // text
	domain  // one name, RFC 1035 section 3.1
	domains // names, likewise
	routes  // classless routes, RFC 3442
)

// A shape writes a form on the wire, and for people; wants says what is needed.
type shape struct {
	wants string
	read  func(text string) (data []byte, ok bool)
	show  func(data []byte) (text string, ok bool)
}

// forms are the shapes of all forms.
var forms = map[form]shape{
	raw:        {"bytes in hexadecimal, as 0x0104", readHex, showHex},
	address:    {"an IPv4 address", one(readAddress(4)), listed(4, showAddress)},
	addresses:  {"IPv4 addresses, with commas", many(readAddress(4)), listed(4, showAddress)},
	addresses6: {"IPv6 addresses, with commas", many(readAddress(16)), listed(16, showAddress)},
	pairs:      {"pairs of IPv4 addresses, as 10.9.0.0=10.0.0.254", many(readPair), listed(8, showPair)},
	number8:    {"a number from 0 to 255", one(readNumber(1)), listed(1, showNumber)},
	number16:   {"a number from 0 to 65535", one(readNumber(2)), listed(2, showNumber)},
	number32:   {"a number from 0 to 4294967295", one(readNumber(4)), listed(4, showNumber)},
	numbers16:  {"numbers from 0 to 65535, with commas", many(readNumber(2)), listed(2, showNumber)},
	signed32:   {"seconds, east of UTC or, with a minus, west of it", one(readSigned), listed(4, showSigned)},
	flag:       {"true or false", one(readFlag), listed(1, showFlag)},
	words:      {"text of at least one character, and no control characters", readWords, showWords},
	domain:     {"a domain name", one(readDomain), showDomains},
	domains:    {"domain names, with commas", many(readDomain), showDomains},
	routes:     {"routes, as 10.9.0.0/16=10.0.0.254, with commas", many(readRoute), showRoutes},
}

// one reads a single value.
func one(read func(string) ([]byte, bool)) func(string) ([]byte, bool) {
	return func(text string) ([]byte, bool) { return read(strings.TrimSpace(text)) }
}

// many reads values that stand between commas.
func many(read func(string) ([]byte, bool)) func(string) ([]byte, bool) {
	return func(text string) (all []byte, ok bool) {
		for _, part := range strings.Split(text, ",") {
			data, ok := read(strings.TrimSpace(part))
			if !ok {
				return nil, false
			}
			all = append(all, data...)
		}
		return all, true
	}
}

// listed shows values of one size.
func listed(size int, show func([]byte) string) func([]byte) (string, bool) {
	return func(data []byte) (string, bool) {
		if len(data) == 0 || len(data)%size != 0 {
			return "", false
		}
		var all []string
		for ; len(data) > 0; data = data[size:] {
			all = append(all, show(data[:size]))
		}
		return strings.Join(all, ", "), true
	}
}

func readHex(text string) ([]byte, bool) {
	text = strings.NewReplacer(":", "", " ", "").Replace(strings.TrimPrefix(strings.ToLower(text), "0x"))
	data, err := hex.DecodeString(text)
	return data, err == nil
}

func showHex(data []byte) (string, bool) { return hex.EncodeToString(data), true }

func readAddress(size int) func(string) ([]byte, bool) {
	return func(text string) ([]byte, bool) {
		ip, err := netip.ParseAddr(text)
		return ip.AsSlice(), err == nil && ip.Zone() == "" && ip.BitLen() == size*8
	}
}

func showAddress(data []byte) string {
	ip, _ := netip.AddrFromSlice(data)
	return ip.String()
}

func readPair(text string) ([]byte, bool) {
	left, right, _ := strings.Cut(text, "=")
	a, ok := readAddress(4)(left)
	b, also := readAddress(4)(right)
	return append(a, b...), ok && also
}

func showPair(data []byte) string { return showAddress(data[:4]) + "=" + showAddress(data[4:]) }

func readNumber(size int) func(string) ([]byte, bool) {
	return func(text string) ([]byte, bool) {
		n, err := strconv.ParseUint(text, 0, size*8)
		return binary.BigEndian.AppendUint64(nil, n)[8-size:], err == nil
	}
}

func showNumber(data []byte) string {
	return strconv.FormatUint(binary.BigEndian.Uint64(append(make([]byte, 8-len(data)), data...)), 10)
}

func readSigned(text string) ([]byte, bool) {
	n, err := strconv.ParseInt(text, 10, 32)
	return binary.BigEndian.AppendUint32(nil, uint32(int32(n))), err == nil
}

func showSigned(data []byte) string {
	return strconv.Itoa(int(int32(binary.BigEndian.Uint32(data))))
}

func readFlag(text string) ([]byte, bool) {
	on, err := strconv.ParseBool(text)
	if on {
		return []byte{1}, true
	}
	return []byte{0}, err == nil
}

func showFlag(data []byte) string { return strconv.FormatBool(data[0] != 0) }

func readWords(text string) ([]byte, bool) {
	return []byte(text), text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func showWords(data []byte) (string, bool) { return string(data), true }
