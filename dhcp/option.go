package dhcp

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A form is how the value of an option is written.
type form int

const (
	raw       form = iota // any bytes: hexadecimal
	addresses             // IPv4 addresses
	number                // 1, 2 or 4 bytes
	words                 // text
)

// options are the options of RFC 2132, and of the RFCs after it that booting
// needs, with their names.
var options = map[uint8]struct {
	name string
	form form
}{
	1: {"subnet-mask", addresses}, 2: {"time-offset", number}, 3: {"routers", addresses}, 4: {"time-servers", addresses}, 6: {"domain-name-servers", addresses}, 7: {"log-servers", addresses},
	12: {"host-name", words}, 13: {"boot-size", number}, 15: {"domain-name", words}, 17: {"root-path", words}, 26: {"interface-mtu", number}, 28: {"broadcast-address", addresses},
	42: {"ntp-servers", addresses}, 43: {"vendor-encapsulated-options", raw}, 51: {"dhcp-lease-time", number}, 53: {"dhcp-message-type", number}, 54: {"dhcp-server-identifier", addresses},
	56: {"dhcp-message", words}, 58: {"dhcp-renewal-time", number}, 59: {"dhcp-rebinding-time", number}, 60: {"vendor-class-identifier", words}, 61: {"dhcp-client-identifier", raw},
	66: {"tftp-server-name", words}, 67: {"boot-file-name", words}, 82: {"dhcp-agent-options", raw}, 97: {"uuid-guid", raw}, 100: {"pcode", words}, 101: {"tcode", words},
	119: {"domain-search", raw}, 121: {"classless-static-routes", raw}, 150: {"tftp-server-address", addresses}, 175: {"ipxe-encapsulated-options", raw},
}

// OptionName is the name of an option; "option-N" where it has none here.
func OptionName(code uint8) string {
	if o, ok := options[code]; ok {
		return o.name
	}
	return "option-" + strconv.Itoa(int(code))
}

// OptionValue writes the value of an option for people. Bytes that are not of
// its form are written as hexadecimal.
func OptionValue(code uint8, value []byte) string {
	switch options[code].form {
	case addresses:
		if len(value) > 0 && len(value)%4 == 0 {
			var all []string
			for ; len(value) > 0; value = value[4:] {
				all = append(all, netip.AddrFrom4([4]byte(value)).String())
			}
			return strings.Join(all, ", ")
		}
	case number:
		if n := len(value); n == 1 || n == 2 || n == 4 {
			return fmt.Sprint(binary.BigEndian.Uint32(append(make([]byte, 4-n), value...)))
		}
	case words:
		return string(value)
	case raw:
	}
	return hex.EncodeToString(value)
}
