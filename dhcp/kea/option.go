package kea

import (
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"

	"sprout"
)

// A setting is an option in Kea's words.
type setting struct {
	code int
	is   object
}

// bytesOf is an option by its bytes, which Kea takes of any option.
func bytesOf(code int, data []byte, always bool) setting {
	o := object{"code": code, "space": "dhcp4", "csv-format": false, "data": hex.EncodeToString(data)}
	if always {
		o["always-send"] = true
	}
	return setting{code, o}
}

// What operators set, as the ledger had it at one moment.
type settings struct {
	site     []sprout.SiteDHCPOption
	classes  []sprout.ClassOption // the one that asks for most comes last
	subnets  map[sprout.SubnetID][]sprout.SiteDHCPOption
	machines map[sprout.MachineID][]sprout.SiteDHCPOption
	of       []sprout.SiteMachine // those that have some
}

// settingsOf asks the ledger what is set.
func settingsOf(l Ledger, subnets []sprout.Subnet, machines []sprout.SiteMachine) settings {
	set := settings{subnets: map[sprout.SubnetID][]sprout.SiteDHCPOption{}, machines: map[sprout.MachineID][]sprout.SiteDHCPOption{}}
	common := l.DHCPOptions("", "")
	set.site, set.classes = common.Site, common.Classes
	for _, sub := range subnets {
		if list := l.DHCPOptions(sub.ID, "").Subnet; len(list) > 0 {
			set.subnets[sub.ID] = list
		}
	}
	for _, m := range machines {
		if list := l.DHCPOptions("", m.ID).Machine; len(list) > 0 && len(m.MACs) > 0 {
			set.machines[m.ID], set.of = list, append(set.of, m)
		}
	}
	return set
}

// options4 are those of DHCPv4, the later by id in place of the one before.
func options4(list []sprout.SiteDHCPOption) map[int]setting {
	by := map[int]setting{}
	for _, o := range list {
		if o.Version == 4 {
			by[o.Code] = bytesOf(o.Code, o.Data, o.Always)
		}
	}
	return by
}

// listed are the options by number.
func listed(by map[int]setting) []object {
	list := make([]object, 0, len(by))
	for _, code := range slices.Sorted(maps.Keys(by)) {
		list = append(list, by[code].is)
	}
	return list
}

// Kea takes an option of the host, before it of the subnet, and then of classes,
// the first that the client is of. Sprout takes it of the machine, of the class
// that asks for most, and then of the subnet: so what a subnet says of an option
// that some class has too stands in a class, after the others. What Sprout boots
// comes before all of these: options 66 and 67 stand in classes of who boots
// nothing of Sprout's.
var bootOptions = []int{66, 67}

const bootedClass = "sprout-booted" // Sprout says what it loads

// bootRule ends the name of a class of who boots nothing of Sprout's.
const bootRule = "-boot"

// A rule is a class of what operators set.
type rule struct {
	name, test, of string
	options        map[int]setting
}

// rules are the classes of a subnet, the one that counts first. Those that are
// not the subnet's own are the same for all.
func (n *intent) rules(sub sprout.Subnet) (list []rule) {
	for _, m := range n.set.of {
		list = append(list, rule{"sprout-machine-" + string(m.ID), macTest(m.MACs), "machine " + string(m.ID), only(options4(n.set.machines[m.ID]), isBoot)})
	}
	for _, c := range n.classesSet() {
		text := c.of.String()
		list = append(list, rule{fmt.Sprintf("sprout-class-%08x", hashOf(text)), classTest(c.of), "class " + text, c.options})
	}
	late := n.classCodes()
	rest := only(n.wanted(sub), func(code int) bool { return late[code] || isBoot(code) })
	list = append(list, rule{"sprout-subnet-" + string(sub.ID), "member('ALL')", "subnet " + string(sub.ID), rest})
	return n.apart(list)
}

// apart splits off what is only for who boots nothing of Sprout's, and drops
// rules without options.
func (n *intent) apart(list []rule) (out []rule) {
	for _, r := range list {
		boots, others := only(r.options, isBoot), only(r.options, func(code int) bool { return !isBoot(code) })
		if len(others) > 0 {
			out = append(out, rule{r.name, r.test, r.of, others})
		}
		if len(boots) > 0 {
			out = append(out, rule{r.name + bootRule, "not member('" + bootedClass + "') and " + r.test, r.of, boots})
		}
	}
	return out
}

// ruleClasses are the classes of all rules, each once.
func (n *intent) ruleClasses() (list []object) {
	done := map[string]bool{}
	for _, sub := range n.served() {
		for _, r := range n.rules(sub) {
			if done[r.name] {
				continue
			}
			done[r.name] = true
			list = append(list, object{"name": r.name, "test": r.test, "only-if-required": true, "option-data": listed(r.options), "user-context": object{mark: r.of}})
		}
	}
	if slices.ContainsFunc(list, func(o object) bool { return strings.HasSuffix(o["name"].(string), bootRule) }) {
		list = append([]object{n.booted()}, list...)
	}
	return list
}

// booted is the class of who is told by Sprout what to load.
func (n *intent) booted() object {
	test := "member('" + scriptClass + "')"
	for _, l := range n.loaders {
		for _, secure := range []bool{false, true} {
			if l.For(secure) != "" {
				test += " or member('" + loaderClass(l, secure) + "')"
			}
		}
	}
	return object{"name": bootedClass, "test": test, "only-if-required": true}
}

// wanted is what clients of the subnet are told (RFC 2132), with what is set for
// the subnet and its site in place of it.
func (n *intent) wanted(sub sprout.Subnet) map[int]setting {
	by := n.computed(sub)
	maps.Copy(by, options4(n.set.site))
	maps.Copy(by, options4(n.set.subnets[sub.ID]))
	return by
}

// subnetOptions are the options that a subnet itself has.
func (n *intent) subnetOptions(sub sprout.Subnet) []object {
	late := n.classCodes()
	return listed(only(n.wanted(sub), func(code int) bool { return !late[code] && !isBoot(code) }))
}

// hostOptions are the options of a machine's host.
func (n *intent) hostOptions(id sprout.MachineID) []object {
	return listed(only(options4(n.set.machines[id]), func(code int) bool { return !isBoot(code) }))
}

// A classSet is what is set for a class.
type classSet struct {
	of      sprout.DHCPClass
	options map[int]setting
}

// classesSet are the classes that options are set for, the one that counts first.
func (n *intent) classesSet() (list []classSet) {
	for _, o := range n.set.classes {
		if o.Version != 4 {
			continue
		}
		if last := len(list) - 1; last < 0 || list[last].of != o.Of {
			list = append(list, classSet{o.Of, map[int]setting{}})
		}
		list[len(list)-1].options[o.Code] = bytesOf(o.Code, o.Data, o.Always)
	}
	slices.Reverse(list)
	return list
}

// classCodes are the options that some class has.
func (n *intent) classCodes() map[int]bool {
	codes := map[int]bool{}
	for _, o := range n.set.classes {
		codes[o.Code] = codes[o.Code] || o.Version == 4
	}
	return codes
}

func isBoot(code int) bool { return slices.Contains(bootOptions, code) }

func only(by map[int]setting, may func(code int) bool) map[int]setting {
	out := map[int]setting{}
	for code, s := range by {
		if may(code) {
			out[code] = s
		}
	}
	return out
}

// mostArches is how many architectures of a client's list are looked at.
const mostArches = 4

// classTest is a class in Kea's expressions. Kea looks at one user class, or the
// first of several.
func classTest(c sprout.DHCPClass) string {
	var all []string
	if c.Vendor != "" {
		all = append(all, fmt.Sprintf("substring(option[60].hex, 0, %d) == 0x%x", len(c.Vendor), c.Vendor))
	}
	if c.User != "" {
		all = append(all, fmt.Sprintf("(option[77].hex == 0x%x or substring(option[77].hex, 0, %d) == 0x%02x%x)", c.User, len(c.User)+1, len(c.User), c.User))
	}
	if number, err := strconv.ParseUint(c.Arch, 10, 16); err == nil {
		var any []string
		for at := range mostArches {
			any = append(any, fmt.Sprintf("substring(option[93].hex, %d, 2) == 0x%04x", 2*at, number))
		}
		all = append(all, "("+strings.Join(any, " or ")+")")
	}
	if c.MAC != "" {
		raw := strings.ReplaceAll(c.MAC, ":", "")
		all = append(all, fmt.Sprintf("substring(pkt4.mac, 0, %d) == 0x%s", len(raw)/2, raw))
	}
	return strings.Join(all, " and ")
}

// macTest is of a machine's clients.
func macTest(macs []string) string {
	var any []string
	for _, mac := range macs {
		any = append(any, "pkt4.mac == 0x"+strings.ReplaceAll(strings.ToLower(mac), ":", ""))
	}
	return "(" + strings.Join(any, " or ") + ")"
}

func hashOf(text string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(text))
	return h.Sum32()
}
