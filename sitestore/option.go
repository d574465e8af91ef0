package sitestore

import (
	"slices"
	"strings"

	"sprout"
)

// An optionIndex has the DHCP options that are set, by whom they are set for.
// Lists are replaced, not changed: readers may hold the old ones.
type optionIndex struct {
	byID    map[string]sprout.SiteDHCPOption
	byOwner map[string][]sprout.SiteDHCPOption // those of classes are not there
	classes []sprout.ClassOption
}

func newOptionIndex() optionIndex {
	return optionIndex{byID: map[string]sprout.SiteDHCPOption{}, byOwner: map[string][]sprout.SiteDHCPOption{}}
}

// set replaces an option; nil removes it.
func (x *optionIndex) set(id string, o *sprout.SiteDHCPOption) {
	if old, ok := x.byID[id]; ok {
		x.remove(old)
	}
	if set(x.byID, id, o); o == nil {
		return
	}
	if o.Class == "" {
		x.byOwner[o.Owner()] = sorted(append(slices.Clone(x.byOwner[o.Owner()]), *o))
		return
	}
	class, err := sprout.ParseDHCPClass(o.Class)
	if err != nil {
		return // of a later version, which knows more: none is of it here
	}
	x.classes = append(slices.Clone(x.classes), sprout.ClassOption{SiteDHCPOption: *o, Of: class})
	slices.SortStableFunc(x.classes, func(a, b sprout.ClassOption) int { return a.Of.Compare(b.Of) })
}

func (x *optionIndex) remove(old sprout.SiteDHCPOption) {
	if old.Class != "" {
		x.classes = slices.DeleteFunc(slices.Clone(x.classes), func(c sprout.ClassOption) bool { return c.ID == old.ID })
		return
	}
	owner := old.Owner()
	x.byOwner[owner] = slices.DeleteFunc(slices.Clone(x.byOwner[owner]), func(o sprout.SiteDHCPOption) bool { return o.ID == old.ID })
	if len(x.byOwner[owner]) == 0 {
		delete(x.byOwner, owner)
	}
}

// sorted puts options in the one order in which answers drop what has no room.
func sorted(list []sprout.SiteDHCPOption) []sprout.SiteDHCPOption {
	slices.SortFunc(list, func(a, b sprout.SiteDHCPOption) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return list
}

// DHCPOptions returns what is set for the clients of a subnet, and for a machine
// ("": the client is none). The caller does not change it.
func (s *Store) DHCPOptions(subnet sprout.SubnetID, machine sprout.MachineID) (o sprout.DHCPOptions) {
	s.replica.mu.RLock()
	defer s.replica.mu.RUnlock()
	x := &s.replica.options
	if len(x.byID) == 0 {
		return o
	}
	o.Site, o.Subnet, o.Classes = x.byOwner[string(s.replica.site.ID)], x.byOwner[string(subnet)], x.classes
	if machine != "" {
		o.Machine = x.byOwner[string(machine)]
	}
	return o
}
