// Package alloc says how a machine is chosen for a request. Each folder below
// is one way to do it; alloctest is the contract that each passes.
package alloc

import "sprout"

// A Request is the constraints that a machine must meet. Zero fields do not
// restrict.
type Request struct {
	Site         sprout.SiteID        `json:"site,omitempty"`
	Name         string               `json:"name,omitempty"`
	Architecture sprout.Architecture  `json:"architecture,omitempty"`
	BootMode     sprout.BootMode      `json:"bootMode,omitempty"`
	MinCores     int                  `json:"minCores,omitempty"`
	MinMemory    int64                `json:"minMemory,omitempty"` // bytes
	MinDisk      int64                `json:"minDisk,omitempty"`   // bytes, of the largest disk
	MinDisks     int                  `json:"minDisks,omitempty"`
	MinNICs      int                  `json:"minNics,omitempty"`
	Tags         []string             `json:"tags,omitempty"`   // all of them
	Labels       []sprout.Requirement `json:"labels,omitempty"` // all of them
	Pool         string               `json:"pool,omitempty"`
	Zone         string               `json:"zone,omitempty"`
}

// A Removal says how many machines one constraint removed, and which.
type Removal struct {
	Constraint string   `json:"constraint" example:"state is ready"`
	Removed    int      `json:"removed"`
	Nearest    []string `json:"nearest" doc:"Up to three machines that failed only this, with what they have"`
}

// A Provider chooses. Choose is pure: it returns the machines that fit in order
// of preference (tightest fit first), and what each constraint removed.
type Provider interface {
	Choose(r Request, machines []sprout.Machine) (fit []sprout.Machine, removed []Removal)
}
