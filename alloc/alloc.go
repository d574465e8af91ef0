// Package alloc says how a machine is chosen for a request. Each folder below
// is one way to do it; alloctest is the contract that each passes.
package alloc

import (
	"net/netip"

	"sprout"
)

// A Request is the constraints that a machine must meet. Zero fields do not
// restrict.
type Request struct {
	State        sprout.State         `json:"state,omitempty"` // it must be in; empty: ready
	Site         sprout.SiteID        `json:"site,omitempty"`
	Name         string               `json:"name,omitempty"`
	Architecture sprout.Architecture  `json:"architecture,omitempty"`
	BootMode     sprout.BootMode      `json:"bootMode,omitempty"`
	Model        string               `json:"model,omitempty"` // words in the machine's vendor and model, in any case
	CPU          string               `json:"cpu,omitempty"`   // words in the processor's model, in any case
	MinCores     int                  `json:"minCores,omitempty"`
	MinMemory    int64                `json:"minMemory,omitempty"` // bytes
	MinDisk      int64                `json:"minDisk,omitempty"`   // bytes, of the largest disk
	MinDisks     int                  `json:"minDisks,omitempty"`
	Disks        []Disks              `json:"disks,omitempty"` // each of them, counted by itself
	MinNICs      int                  `json:"minNics,omitempty"`
	MinSpeed     int                  `json:"minSpeed,omitempty"` // Mb/s, of MinNICs ports, or of one
	PCI          []PCI                `json:"pci,omitempty"`      // each of them, counted by itself
	Networks     []Network            `json:"networks,omitempty"` // all of them
	Tags         []string             `json:"tags,omitempty"`     // all of them
	NotTags      []string             `json:"notTags,omitempty"`  // none of them
	Labels       []sprout.Requirement `json:"labels,omitempty"`   // all of them
	Pool         string               `json:"pool,omitempty"`
	Zone         string               `json:"zone,omitempty"`
	Subnet       netip.Prefix         `json:"subnet,omitzero"` // that it was discovered in
}

// Disks asks for disks of a kind. Zero fields do not restrict; a count of 0 is 1.
type Disks struct {
	Count      int    `json:"count,omitempty" minimum:"0" maximum:"1000" doc:"At least so many; 0: one"`
	Rotational *bool  `json:"rotational,omitempty"`
	Bus        string `json:"bus,omitempty" maxLength:"32" example:"nvme"`
	MinBytes   int64  `json:"minBytes,omitempty" minimum:"0" doc:"Of each"`
}

// PCI asks for devices of a kind, such as graphics processors. A count of 0 is 1.
type PCI struct {
	Vendor string `json:"vendor" pattern:"^[0-9a-fA-F]{4}$" doc:"Hexadecimal vendor id" example:"10de"`
	Device string `json:"device,omitempty" pattern:"^([0-9a-fA-F]{4})?$" doc:"Hexadecimal device id; empty: any of the vendor" example:"20b5"`
	Count  int    `json:"count,omitempty" minimum:"0" maximum:"1000" doc:"At least so many; 0: one"`
}

// A Network is one that the machine's site must have.
type Network struct {
	Name  string          `json:"name"`
	Sites []sprout.SiteID `json:"sites"` // that have it
}

// A Removal says how many machines one constraint removed, and which.
type Removal struct {
	Constraint string   `json:"constraint" doc:"What a machine had to be" example:"state is ready"`
	Removed    int      `json:"removed" doc:"How many machines it removed" example:"31"`
	Nearest    []string `json:"nearest" doc:"Up to three machines that failed only this, with what they have" example:"[\"web-07 (deployed)\"]"`
}

// A Lack is a constraint that a machine does not meet.
type Lack struct {
	Constraint string `json:"constraint" doc:"What the machine had to be" example:"cores at least 32"`
	Has        string `json:"has" doc:"What it is or has instead" example:"cores: 16"`
}

// A Provider chooses. Choose is pure: it returns the machines that fit in order
// of preference (tightest fit first), and what each constraint removed. Lacks is pure
// too: every constraint that one machine does not meet; none where it fits.
type Provider interface {
	Choose(r Request, machines []sprout.Machine) (fit []sprout.Machine, removed []Removal)
	Lacks(r Request, m *sprout.Machine) []Lack
}
