package kea

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sprout"
	"sprout/dhcp/builtin"
)

// An object is one of JSON.
type object = map[string]any

// An intent is what Kea shall do: what the centre said, and the agent's own.
type intent struct {
	subnets      []sprout.Subnet
	reservations []sprout.Reservation
	machines     []sprout.SiteMachine
	domain       string
	address      netip.Addr
	vrf          string
	bootURL      string
	loaders      []builtin.Loader
	leaseTime    time.Duration
	hooks        string // directory
	set          settings
}

// settings are the parts of Kea's configuration that are Sprout's, with their
// values. All others stay the operator's: interfaces, lease database, control
// socket, loggers, threads.
func (n *intent) settings() object {
	alone, shared := n.networks()
	lasts := int(n.leaseTime / time.Second)
	return object{
		"authoritative":  true,
		"valid-lifetime": lasts, "min-valid-lifetime": min(lasts, 60), "max-valid-lifetime": lasts,
		"calculate-tee-times": true, "t1-percent": 0.5, "t2-percent": 0.875, // RFC 2131 section 4.4.5
		"decline-probation-period": 3600,
		// Firmware, iPXE and the system of one machine name themselves
		// differently; by MAC they keep one address.
		"match-client-id": false, "host-reservation-identifiers": []string{"hw-address"},
		"reservations-global": true, "reservations-in-subnet": true, "reservations-out-of-pool": false,
		"reservations": n.known(), "subnet4": alone, "shared-networks": shared, "client-classes": slices.Concat(n.silence(), n.classes(), n.ruleClasses()),
	}
}

// dropped are settings that would count in place of Sprout's.
var dropped = []string{"renew-timer", "rebind-timer"}

// mark is the key of Kea's user-context under which a configuration says that
// Sprout made it.
const mark = "sprout"

// configure returns Kea's configuration base with Sprout's parts in it.
func (n *intent) configure(base object, device string) object {
	whole := maps.Clone(base)
	for _, key := range dropped {
		delete(whole, key)
	}
	settings := n.settings()
	maps.Copy(whole, settings)
	whole["option-def"] = merged(base["option-def"], definitions(), "code", "space")
	whole["hooks-libraries"] = n.libraries(base["hooks-libraries"])
	listen, _ := base["interfaces-config"].(object)
	if devices, _ := listen["interfaces"].([]any); len(devices) == 0 && device != "" {
		listen = maps.Clone(listen)
		if listen == nil {
			listen = object{}
		}
		listen["interfaces"] = []string{device}
		whole["interfaces-config"] = listen
	}
	context, _ := base["user-context"].(object)
	context = maps.Clone(context)
	if context == nil {
		context = object{}
	}
	context[mark] = object{"digest": digest(settings)}
	whole["user-context"] = context
	return whole
}

// definitions are of the options that Kea has no definition of: those by which
// iPXE says what it can (ipxe.org/howto/dhcpd).
func definitions() []object {
	return []object{
		{"name": "sprout-ipxe", "code": 175, "space": "dhcp4", "type": "empty", "encapsulate": "sprout-ipxe"},
		{"name": "no-pxedhcp", "code": 176, "space": "sprout-ipxe", "type": "uint8"},
	}
}

// libraryNames are the hook libraries that Sprout needs: one tells of leases, the
// other writes the MAC into the URL of a machine's boot script.
const (
	leaseCommands = "libdhcp_lease_cmds.so"
	flexOption    = "libdhcp_flex_option.so"
)

// libraries are the hook libraries of base, with Sprout's in place of those of the
// same names.
func (n *intent) libraries(base any) (list []any) {
	others, _ := base.([]any)
	for _, one := range others {
		library, _ := one.(object)
		path, _ := library["library"].(string)
		if name := filepath.Base(path); name != leaseCommands && name != flexOption {
			list = append(list, one)
		}
	}
	script := fmt.Sprintf("concat('%s/boot/', concat(hexstring(pkt4.mac, '-'), '.ipxe'))", n.bootURL)
	return append(list,
		object{"library": filepath.Join(n.hooks, leaseCommands)},
		object{"library": filepath.Join(n.hooks, flexOption), "parameters": object{"options": []object{
			{"code": 67, "client-class": scriptClass, "add": script},
			{"code": 97, "client-class": bootsClass, "add": "option[97].hex"}, // RFC 4578 section 2.3
		}}})
}

// known are all MACs of the site's machines, so that Kea's class KNOWN is that
// of the machines that are, wherever they ask.
func (n *intent) known() []object {
	hosts, secure := map[string]object{}, n.secure()
	for _, m := range n.machines {
		for _, mac := range m.MACs {
			mac = strings.ToLower(mac)
			hosts[mac] = object{"hw-address": mac, "hostname": m.Name}
			if list := n.hostOptions(m.ID); len(list) > 0 {
				hosts[mac]["option-data"] = list
			}
			if secure[mac] {
				hosts[mac]["client-classes"] = []string{secureClass}
			}
		}
	}
	list := make([]object, 0, len(hosts))
	for _, mac := range slices.Sorted(maps.Keys(hosts)) {
		list = append(list, hosts[mac])
	}
	return list
}

// secure are the MACs of the machines that enforce Secure Boot.
func (n *intent) secure() map[string]bool {
	macs := map[string]bool{}
	for _, m := range n.machines {
		for _, mac := range m.MACs {
			macs[strings.ToLower(mac)] = m.SecureBoot
		}
	}
	return macs
}

// owners are the machines that have options of their own, by MAC.
func (n *intent) owners() map[string]sprout.MachineID {
	by := map[string]sprout.MachineID{}
	for _, m := range n.set.of {
		for _, mac := range m.MACs {
			by[strings.ToLower(mac)] = m.ID
		}
	}
	return by
}

// merged is base with ours in place of what has the same values of the keys.
func merged(base any, ours []object, keys ...string) (list []any) {
	others, _ := base.([]any)
	for _, one := range others {
		theirs, _ := one.(object)
		if !slices.ContainsFunc(ours, func(o object) bool {
			return !slices.ContainsFunc(keys, func(key string) bool { return fmt.Sprint(o[key]) != fmt.Sprint(theirs[key]) })
		}) {
			list = append(list, one)
		}
	}
	for _, one := range ours {
		list = append(list, one)
	}
	return list
}

// digest is of the value's JSON, whose keys are sorted.
func digest(v any) string {
	raw, _ := json.Marshal(v) // of texts, numbers and lists: it always encodes
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// parts are the digests of the parts of a configuration that are Sprout's.
func (n *intent) parts(whole object) map[string]string {
	list := map[string]string{}
	for key := range n.settings() {
		list[key] = digest(whole[key])
	}
	for _, key := range append([]string{"option-def", "hooks-libraries"}, dropped...) {
		list[key] = digest(whole[key])
	}
	return list
}
