package builtin

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sprout"
	"sprout/alloc"
)

// A constraint is one row of what a machine must be.
type constraint struct {
	name  string
	meets func(m *sprout.Machine) bool
	has   func(m *sprout.Machine) string  // what it has instead, in words
	size  func(m *sprout.Machine) float64 // of what it has; nil: it has no size
}

// constraints lists, in the order they apply, what every machine must be and
// what the request asks for.
func constraints(r alloc.Request) []constraint {
	state := cmp.Or(r.State, sprout.Ready)
	list := []constraint{
		{name: "state is " + string(state), meets: func(m *sprout.Machine) bool { return m.State == state },
			has: func(m *sprout.Machine) string { return string(m.State) }},
		{name: "not locked", meets: func(m *sprout.Machine) bool { return !m.Locked },
			has: func(*sprout.Machine) string { return "locked" }},
		{name: "no workflow runs", meets: func(m *sprout.Machine) bool { return m.Activity == nil },
			has: func(m *sprout.Machine) string { return m.Activity.Kind + " runs" }},
		{name: "no critical problem", meets: func(m *sprout.Machine) bool { return critical(m) == "" },
			has: critical},
	}
	if r.Site != "" {
		list = append([]constraint{{name: "site", meets: func(m *sprout.Machine) bool { return m.Site == r.Site },
			has: func(m *sprout.Machine) string { return m.SiteName }}}, list...)
	}
	list = append(list, texts(r)...)
	list = append(list, sizes(r)...)
	list = append(list, parts(r)...)
	if r.Subnet.IsValid() {
		list = append(list, constraint{name: "discovered in subnet " + r.Subnet.String(), meets: func(m *sprout.Machine) bool { return r.Subnet.Contains(inventory(m).Address.Unmap()) },
			has: func(m *sprout.Machine) string { return "discovered at: " + address(m) }})
	}
	for _, n := range r.Networks {
		list = append(list, constraint{name: "network " + n.Name, meets: func(m *sprout.Machine) bool { return slices.Contains(n.Sites, m.Site) },
			has: func(m *sprout.Machine) string { return "site: " + m.SiteName }})
	}
	hasTags := func(m *sprout.Machine) string { return "tags: " + cmp.Or(strings.Join(m.Tags, ", "), "none") }
	for _, tag := range r.Tags {
		list = append(list, constraint{name: "tag " + tag, meets: func(m *sprout.Machine) bool { return slices.Contains(m.Tags, tag) }, has: hasTags})
	}
	for _, tag := range r.NotTags {
		list = append(list, constraint{name: "no tag " + tag, meets: func(m *sprout.Machine) bool { return !slices.Contains(m.Tags, tag) }, has: hasTags})
	}
	for _, l := range r.Labels {
		list = append(list, constraint{name: "label " + l.String(), meets: func(m *sprout.Machine) bool { return m.Labels.Meets(l) },
			has: func(m *sprout.Machine) string { return "labels: " + cmp.Or(m.Labels.String(), "none") }})
	}
	return list
}

// texts are the constraints that name a value.
func texts(r alloc.Request) []constraint {
	var list []constraint
	add := func(noun, want string, get func(m *sprout.Machine) string) {
		if want != "" {
			list = append(list, constraint{name: noun + " is " + want, meets: func(m *sprout.Machine) bool { return get(m) == want },
				has: func(m *sprout.Machine) string { return noun + ": " + cmp.Or(get(m), "none") }})
		}
	}
	add("name", r.Name, func(m *sprout.Machine) string { return m.Name })
	add("architecture", string(r.Architecture), func(m *sprout.Machine) string { return string(m.Architecture) })
	add("boot mode", string(r.BootMode), func(m *sprout.Machine) string { return string(m.BootMode) })
	add("pool", r.Pool, func(m *sprout.Machine) string { return m.Pool })
	add("zone", r.Zone, func(m *sprout.Machine) string { return m.Zone })
	return list
}

// sizes are the constraints that name a least amount.
func sizes(r alloc.Request) []constraint {
	var list []constraint
	add := func(least int64, noun string, get func(m *sprout.Machine) int64, show func(n int64) string) {
		if least > 0 {
			list = append(list, constraint{
				name:  fmt.Sprintf("%s at least %s", noun, show(least)),
				meets: func(m *sprout.Machine) bool { return get(m) >= least },
				has:   func(m *sprout.Machine) string { return noun + ": " + show(get(m)) },
				size:  func(m *sprout.Machine) float64 { return float64(get(m)) },
			})
		}
	}
	add(int64(r.MinCores), "cores", cores, count)
	add(r.MinMemory, "memory", memory, bytes)
	add(r.MinDisk, "largest disk", largestDisk, bytes)
	add(int64(r.MinDisks), "disks", disks, count)
	add(int64(r.MinNICs), "network ports", nics, count)
	return list
}

func critical(m *sprout.Machine) string {
	for _, p := range m.Problems {
		if p.Severity == sprout.Critical && p.ClearedAt == nil {
			return string(p.Code)
		}
	}
	return ""
}

func count(n int64) string { return fmt.Sprint(n) }

// bytes shows an amount in the largest binary unit that it reaches.
func bytes(n int64) string {
	for _, u := range []struct {
		name string
		size int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}} {
		if n >= u.size {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/float64(u.size)), ".0") + " " + u.name
		}
	}
	return fmt.Sprintf("%d B", n)
}

// address is where the machine was discovered.
func address(m *sprout.Machine) string {
	if at := inventory(m).Address; at.IsValid() {
		return at.String()
	}
	return "unknown"
}
