package dhcp

import (
	"strconv"
	"strings"

	"sprout"
)

// An option is one of the registries of IANA. What is owned is Sprout's to say,
// for the reason that is given, and nobody sets it.
type option struct {
	name  string
	form  form
	owned string
}

// Why options are Sprout's own.
const (
	ofAddresses = "it follows from the address that is given"
	ofProtocol  = "the protocol itself says it"
	ofClients   = "only clients and relays say it"
	ofMachines  = "a machine is called what Sprout calls it: sprout machine update --name"
	ofFirmware  = "firmware is told by it what booted it"
)

// options are those of RFC 2132 and of the RFCs after it, with the names that
// other servers of DHCP have for them.
var options = map[int]option{
	1: {"subnet-mask", addresses, ofAddresses}, 2: {"time-offset", signed32, ""}, 3: {"routers", addresses, ""}, 4: {"time-servers", addresses, ""},
	5: {"name-servers", addresses, ""}, 6: {"domain-name-servers", addresses, ""}, 7: {"log-servers", addresses, ""}, 8: {"cookie-servers", addresses, ""},
	9: {"lpr-servers", addresses, ""}, 10: {"impress-servers", addresses, ""}, 11: {"resource-location-servers", addresses, ""}, 12: {"host-name", words, ofMachines},
	13: {"boot-size", number16, ""}, 14: {"merit-dump", words, ""}, 15: {"domain-name", words, ""}, 16: {"swap-server", address, ""},
	17: {"root-path", words, ""}, 18: {"extensions-path", words, ""}, 19: {"ip-forwarding", flag, ""}, 20: {"non-local-source-routing", flag, ""},
	21: {"policy-filter", pairs, ""}, 22: {"max-dgram-reassembly", number16, ""}, 23: {"default-ip-ttl", number8, ""}, 24: {"path-mtu-aging-timeout", number32, ""},
	25: {"path-mtu-plateau-table", numbers16, ""}, 26: {"interface-mtu", number16, ""}, 27: {"all-subnets-local", flag, ""}, 28: {"broadcast-address", addresses, ofAddresses},
	29: {"perform-mask-discovery", flag, ""}, 30: {"mask-supplier", flag, ""}, 31: {"router-discovery", flag, ""}, 32: {"router-solicitation-address", address, ""},
	33: {"static-routes", pairs, ""}, 34: {"trailer-encapsulation", flag, ""}, 35: {"arp-cache-timeout", number32, ""}, 36: {"ieee802-3-encapsulation", flag, ""},
	37: {"default-tcp-ttl", number8, ""}, 38: {"tcp-keepalive-interval", number32, ""}, 39: {"tcp-keepalive-garbage", flag, ""}, 40: {"nis-domain", words, ""},
	41: {"nis-servers", addresses, ""}, 42: {"ntp-servers", addresses, ""}, 43: {"vendor-encapsulated-options", raw, ""}, 44: {"netbios-name-servers", addresses, ""},
	45: {"netbios-dd-server", addresses, ""}, 46: {"netbios-node-type", number8, ""}, 47: {"netbios-scope", words, ""}, 48: {"font-servers", addresses, ""},
	49: {"x-display-manager", addresses, ""}, 50: {"dhcp-requested-address", address, ofClients}, 51: {"dhcp-lease-time", number32, ofAddresses}, 52: {"dhcp-option-overload", number8, ofProtocol},
	53: {"dhcp-message-type", number8, ofProtocol}, 54: {"dhcp-server-identifier", address, ofProtocol}, 55: {"dhcp-parameter-request-list", raw, ofClients},
	56: {"dhcp-message", words, ofProtocol}, 57: {"dhcp-max-message-size", number16, ofClients}, 58: {"dhcp-renewal-time", number32, ofAddresses}, 59: {"dhcp-rebinding-time", number32, ofAddresses},
	60: {"vendor-class-identifier", words, ofFirmware}, 61: {"dhcp-client-identifier", raw, ofClients}, 62: {"nwip-domain-name", words, ""}, 64: {"nisplus-domain-name", words, ""},
	65: {"nisplus-servers", addresses, ""}, 66: {"tftp-server-name", words, ""}, 67: {"boot-file-name", words, ""}, 68: {"mobile-ip-home-agent", addresses, ""},
	69: {"smtp-server", addresses, ""}, 70: {"pop-server", addresses, ""}, 71: {"nntp-server", addresses, ""}, 72: {"www-server", addresses, ""},
	73: {"finger-server", addresses, ""}, 74: {"irc-server", addresses, ""}, 75: {"streettalk-server", addresses, ""}, 76: {"streettalk-directory-assistance-server", addresses, ""},
	77: {"user-class", raw, ofClients}, 78: {"slp-directory-agent", raw, ""}, 79: {"slp-service-scope", raw, ""}, 80: {"rapid-commit", raw, ofProtocol}, 81: {"fqdn", raw, ofMachines}, 82: {"dhcp-agent-options", raw, ofClients},
	85: {"nds-servers", addresses, ""}, 86: {"nds-tree-name", words, ""}, 87: {"nds-context", words, ""}, 88: {"bcms-controller-names", domains, ""}, 89: {"bcms-controller-address", addresses, ""},
	90: {"authenticate", raw, ofProtocol}, 91: {"client-last-transaction-time", number32, ofClients}, 92: {"associated-ip", addresses, ofProtocol}, 93: {"client-system", raw, ofClients}, 94: {"client-ndi", raw, ofClients},
	97: {"uuid-guid", raw, ofClients}, 98: {"uap-servers", words, ""}, 100: {"pcode", words, ""}, 101: {"tcode", words, ""}, 108: {"v6-only-preferred", number32, ""},
	112: {"netinfo-server-address", addresses, ""}, 113: {"netinfo-server-tag", words, ""}, 114: {"v4-captive-portal", words, ""}, 116: {"auto-config", number8, ""}, 117: {"name-service-search", numbers16, ""},
	118: {"subnet-selection", address, ofClients}, 119: {"domain-search", domains, ""}, 121: {"classless-static-route", routes, ""}, 124: {"vivco-suboptions", raw, ofClients}, 125: {"vivso-suboptions", raw, ""},
	136: {"pana-agent", addresses, ""}, 137: {"v4-lost", domain, ""}, 138: {"capwap-ac-v4", addresses, ""}, 141: {"sip-ua-cs-domains", domains, ""}, 143: {"v4-sztp-redirect", raw, ""}, 145: {"forcerenew-nonce-capable", raw, ofProtocol}, 146: {"rdnss-selection", raw, ""},
	150: {"tftp-server-address", addresses, ""}, 151: {"status-code", raw, ofProtocol}, 161: {"mud-url", words, ofClients}, 162: {"v4-dnr", raw, ""}, 175: {"ipxe-encapsulated-options", raw, ofFirmware},
	208: {"pxelinux-magic", raw, ""}, 209: {"pxelinux-config-file", words, ""}, 210: {"pxelinux-path-prefix", words, ""}, 211: {"pxelinux-reboot-time", number32, ""}, 212: {"option-6rd", raw, ""}, 213: {"v4-access-domain", domain, ""},
	221: {"subnet-vss", raw, ofClients}, 252: {"wpad-url", words, ""},
}

// options6 are those of RFC 8415 and of the RFCs after it, likewise.
var options6 = map[int]option{
	1: {"clientid", raw, ofClients}, 2: {"serverid", raw, ofProtocol}, 3: {"ia-na", raw, ofAddresses}, 4: {"ia-ta", raw, ofAddresses}, 5: {"iaaddr", raw, ofAddresses}, 6: {"oro", raw, ofClients},
	7: {"preference", number8, ofProtocol}, 8: {"elapsed-time", number16, ofClients}, 9: {"relay-msg", raw, ofProtocol}, 11: {"auth", raw, ofProtocol}, 12: {"unicast", addresses6, ofProtocol}, 13: {"status-code", raw, ofProtocol},
	14: {"rapid-commit", raw, ofProtocol}, 15: {"user-class", raw, ofClients}, 16: {"vendor-class", raw, ofFirmware}, 17: {"vendor-opts", raw, ""}, 18: {"interface-id", raw, ofClients}, 19: {"reconf-msg", number8, ofProtocol},
	20: {"reconf-accept", raw, ofProtocol}, 21: {"sip-server-dns", domains, ""}, 22: {"sip-server-addr", addresses6, ""}, 23: {"dns-servers", addresses6, ""}, 24: {"domain-search", domains, ""}, 25: {"ia-pd", raw, ofAddresses}, 26: {"iaprefix", raw, ofAddresses},
	27: {"nis-servers", addresses6, ""}, 28: {"nisp-servers", addresses6, ""}, 29: {"nis-domain-name", domain, ""}, 30: {"nisp-domain-name", domain, ""}, 31: {"sntp-servers", addresses6, ""}, 32: {"information-refresh-time", number32, ""},
	33: {"bcmcs-server-dns", domains, ""}, 34: {"bcmcs-server-addr", addresses6, ""}, 36: {"geoconf-civic", raw, ""}, 37: {"remote-id", raw, ofClients}, 38: {"subscriber-id", raw, ofClients}, 39: {"client-fqdn", raw, ofMachines}, 40: {"pana-agent", addresses6, ""},
	41: {"new-posix-timezone", words, ""}, 42: {"new-tzdb-timezone", words, ""}, 43: {"ero", raw, ofClients}, 51: {"v6-lost", domain, ""}, 52: {"capwap-ac-v6", addresses6, ""}, 56: {"ntp-server", raw, ""}, 57: {"v6-access-domain", domain, ""},
	58: {"sip-ua-cs-list", domains, ""}, 59: {"bootfile-url", words, ""}, 60: {"bootfile-param", raw, ""}, 61: {"client-arch-type", raw, ofClients}, 62: {"nii", raw, ofClients}, 64: {"aftr-name", domain, ""}, 68: {"vss", raw, ofClients},
	79: {"client-linklayer-addr", raw, ofClients}, 82: {"sol-max-rt", number32, ""}, 83: {"inf-max-rt", number32, ""}, 103: {"v6-captive-portal", words, ""}, 135: {"relay-source-port", number16, ofClients}, 144: {"v6-dnr", raw, ""},
}

// registry is that of a version of IP.
func registry(version int) map[int]option {
	if version == 6 {
		return options6
	}
	return options
}

// OptionName is the name of an option of a version of IP, 4 or 6; "option-N"
// where it has none here.
func OptionName(version, code int) string {
	if o, ok := registry(version)[code]; ok {
		return o.name
	}
	return "option-" + strconv.Itoa(code)
}

// OptionValue writes the value of an option for people. Bytes that are not of
// its form are written as hexadecimal.
func OptionValue(version, code int, value []byte) string {
	if text, ok := forms[registry(version)[code].form].show(value); ok {
		return text
	}
	text, _ := forms[raw].show(value)
	return text
}

// findOption finds an option by its name, its number, or "option-N".
func findOption(version int, name string) (code int, o option, err error) {
	for code, o := range registry(version) {
		if o.name == name {
			return code, o, nil
		}
	}
	last := map[int]int{4: 254, 6: 65535}[version]
	code, wrong := strconv.Atoi(strings.TrimPrefix(name, "option-"))
	if wrong != nil || code < 1 || code > last {
		return 0, o, sprout.InvalidField("option", "cannot set option %q: a name as ntp-servers or a number from 1 to %d is needed", name, last)
	}
	o, ok := registry(version)[code]
	if !ok {
		o = option{OptionName(version, code), raw, ""}
	}
	return code, o, nil
}
