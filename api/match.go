package api

import (
	"slices"
	"strings"

	"sprout"
)

// A MachineMatch chooses machines: those that meet all of it. What is absent
// does not restrict.
type MachineMatch struct {
	Site         string              `query:"site" json:"site,omitempty" doc:"Of this site: id, name or unique prefix"`
	State        []sprout.State      `query:"state" json:"state,omitempty" enum:"discovered,registered,ready,allocated,deployed,rescued,broken,retired" maxItems:"8" doc:"In one of these states; empty: in any but retired"`
	Name         string              `query:"name" json:"name,omitempty" maxLength:"63" pattern:"^[a-z0-9-]*$" doc:"With a name that begins so"`
	Labels       string              `query:"labels" json:"labels,omitempty" maxLength:"4096" doc:"Label selector: parts with commas between them, all to be met; key=value, key!=value (another value, or no such label), key (whatever its value), !key (no such label)" example:"rack=r1,env!=prod,gpu"`
	Tag          string              `query:"tag" json:"tag,omitempty"`
	Pool         string              `query:"pool" json:"pool,omitempty"`
	Zone         string              `query:"zone" json:"zone,omitempty"`
	Owner        string              `query:"owner" json:"owner,omitempty"`
	Architecture sprout.Architecture `query:"architecture" json:"architecture,omitempty" enum:"amd64,arm64"`
	BootMode     sprout.BootMode     `query:"bootMode" json:"bootMode,omitempty" enum:"bios,uefi"`
	Power        sprout.PowerState   `query:"power" json:"power,omitempty" enum:"on,off,unknown"`
	Problem      string              `query:"problem" json:"problem,omitempty" maxLength:"63" doc:"With an open problem of this code, or any" example:"any"`
}

// Meets tells whether a machine meets all but the site, which only the server
// can find.
func (m MachineMatch) Meets(it sprout.Machine) bool {
	labels, err := sprout.ParseSelector(m.Labels)
	for _, r := range labels {
		if !it.Labels.Meets(r) {
			return false
		}
	}
	is := func(want, has string) bool { return want == "" || want == has }
	return err == nil && (len(m.State) == 0 && it.State != sprout.Retired || slices.Contains(m.State, it.State)) && strings.HasPrefix(it.Name, m.Name) &&
		(m.Tag == "" || slices.Contains(it.Tags, m.Tag)) && is(m.Pool, it.Pool) && is(m.Zone, it.Zone) && is(m.Owner, it.Owner) &&
		is(string(m.Architecture), string(it.Architecture)) && is(string(m.BootMode), string(it.BootMode)) && is(string(m.Power), string(it.Power)) &&
		(m.Problem == "" || slices.ContainsFunc(it.Problems, func(p sprout.Problem) bool { return m.Problem == AnyProblem || m.Problem == string(p.Code) }))
}

// AnyProblem is the Problem of a match that asks for no code.
const AnyProblem = "any"

// A LabelChange sets labels, and takes away those whose value is null; others
// stay.
type LabelChange map[string]*string

// Over returns what labels are with the change.
func (c LabelChange) Over(labels sprout.Labels) sprout.Labels {
	out := sprout.Labels{}
	for key, value := range labels {
		out[key] = value
	}
	for key, value := range c {
		if value == nil {
			delete(out, key)
		} else {
			out[key] = *value
		}
	}
	return out
}
