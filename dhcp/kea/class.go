package kea

import (
	"fmt"
	"strings"

	"sprout"
	"sprout/dhcp/builtin"
)

// The client classes that Sprout makes. A subnet names those that Kea is to
// evaluate once it knows the host and the subnet.
const (
	discoverClass = "sprout-discover" // of every client of a subnet that allows discovery
	bootsClass    = "sprout-boots"    // it asks for a boot file, and may have one
	ipxeClass     = "sprout-ipxe"     // iPXE, or what speaks like it
	scriptClass   = "sprout-script"   // it fetches its boot script by HTTP
	secureClass   = "sprout-secure"   // the host enforces Secure Boot
)

// Tests in Kea's expressions.
const (
	saysIPXE = "(option[77].hex == 'iPXE' or option[77].hex == 0x0469505845)" // bare, and by RFC 3004
	hasHTTP  = "(option[175].option[19].exists or not option[175].exists)"
)

// classes say what firmware loads: the table of builtin.Loader, and before it
// iPXE, which is the last to load something.
func (n *intent) classes() []object {
	class := func(name, test string) object {
		return object{"name": name, "test": test, "only-if-required": true}
	}
	ipxe := class(ipxeClass, saysIPXE+" or option[175].exists")
	// No proxy DHCP is to be waited for, which saves iPXE 3 s.
	ipxe["option-data"] = []object{
		{"name": "sprout-ipxe", "always-send": true},
		{"name": "no-pxedhcp", "space": "sprout-ipxe", "data": "1", "always-send": true},
	}
	script := class(scriptClass, fmt.Sprintf("member('%s') and member('%s') and %s", bootsClass, ipxeClass, hasHTTP))
	script["next-server"] = n.address.String()
	list := []object{
		{"name": secureClass}, class(discoverClass, "member('ALL')"), ipxe,
		class(bootsClass, fmt.Sprintf("(member('KNOWN') or member('%s')) and (option[93].exists or member('%s'))", discoverClass, ipxeClass)),
		script,
	}
	for _, l := range n.loaders {
		for _, secure := range []bool{false, true} {
			file := l.For(secure)
			if file == "" {
				continue
			}
			one := class(loaderClass(l, secure), fmt.Sprintf("member('%s') and not member('%s') and %smember('%s') and substring(option[93].hex, 0, 2) == 0x%04x",
				bootsClass, scriptClass, map[bool]string{false: "not "}[secure], secureClass, l.Arch))
			n.load(one, l, file)
			list = append(list, one)
		}
	}
	return list
}

// load has the class load the file.
func (n *intent) load(class object, l builtin.Loader, file string) {
	file = n.file(l, file)
	class["next-server"], class["boot-file-name"] = n.address.String(), file
	if l.HTTP {
		class["option-data"] = []object{
			{"name": "boot-file-name", "data": file, "always-send": true},
			{"name": "vendor-class-identifier", "data": "HTTPClient", "always-send": true},
		}
		return
	}
	class["option-data"] = []object{
		{"name": "boot-file-name", "data": file}, {"name": "tftp-server-name", "data": n.address.String()},
	}
}

// file is the name or URL of what firmware of the row loads.
func (n *intent) file(l builtin.Loader, file string) string {
	if l.HTTP {
		return n.bootURL + "/boot/" + file
	}
	return file
}

func loaderClass(l builtin.Loader, secureBoot bool) string {
	return fmt.Sprintf("sprout-arch-%d%s", l.Arch, map[bool]string{true: "-signed"}[secureBoot])
}

// required are the classes that Kea is to evaluate for clients of a subnet, each
// after those that it stands on.
func (n *intent) required(sub sprout.Subnet) (names []string) {
	if sub.Discover {
		names = append(names, discoverClass)
	}
	names = append(names, ipxeClass, bootsClass, scriptClass)
	for _, l := range n.loaders {
		names = append(names, loaderClass(l, false))
		if l.Signed != "" {
			names = append(names, loaderClass(l, true))
		}
	}
	booted := len(names)
	for _, r := range n.rules(sub) {
		if strings.HasSuffix(r.name, bootRule) && len(names) == booted {
			names = append(names, bootedClass)
		}
		names = append(names, r.name)
	}
	return names
}
