package api

import (
	"sprout"
	"sprout/alloc"
)

// Constraints are what an allocated machine must meet. Zero fields do not restrict.
type Constraints struct {
	Site         string              `json:"site,omitempty"`
	Name         string              `json:"name,omitempty"`
	Architecture sprout.Architecture `json:"architecture,omitempty" enum:"amd64,arm64"`
	BootMode     sprout.BootMode     `json:"bootMode,omitempty" enum:"bios,uefi"`
	Model        string              `json:"model,omitempty" maxLength:"200" doc:"Words in its vendor and model, in any case" example:"PowerEdge R650"`
	CPU          string              `json:"cpu,omitempty" maxLength:"200" doc:"Words in its processor's model, in any case" example:"EPYC 9354"`
	MinCores     int                 `json:"minCores,omitempty" minimum:"0"`
	MinMemory    int64               `json:"minMemory,omitempty" minimum:"0" doc:"Bytes"`
	MinDisk      int64               `json:"minDisk,omitempty" minimum:"0" doc:"Bytes, of the largest disk"`
	MinDisks     int                 `json:"minDisks,omitempty" minimum:"0"`
	Disks        []alloc.Disks       `json:"disks,omitempty" maxItems:"16" doc:"So many disks of a kind; each row is counted by itself"`
	MinNICs      int                 `json:"minNics,omitempty" minimum:"0"`
	MinSpeed     int                 `json:"minSpeed,omitempty" minimum:"0" doc:"Mb/s, of as many network ports as minNics says, of one otherwise" example:"25000"`
	PCI          []alloc.PCI         `json:"pci,omitempty" maxItems:"16" doc:"So many PCI devices of a kind, such as graphics processors; each row is counted by itself"`
	Networks     []string            `json:"networks,omitempty" maxItems:"16" doc:"Networks, by name, that its site must have" example:"[\"storage\"]"`
	Tags         []string            `json:"tags,omitempty" doc:"All of them"`
	NotTags      []string            `json:"notTags,omitempty" doc:"None of them" example:"[\"reserved\"]"`
	Labels       string              `json:"labels,omitempty" maxLength:"4096" doc:"Label selector, as of machine list" example:"rack=r1,env!=prod"`
	Pool         string              `json:"pool,omitempty"`
	Zone         string              `json:"zone,omitempty" doc:"Failure zone"`
	Subnet       string              `json:"subnet,omitempty" maxLength:"64" doc:"Prefix in which it was discovered" example:"10.0.0.0/24"`
}
