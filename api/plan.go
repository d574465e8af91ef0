package api

import (
	"slices"

	"sprout"
)

// A Plan is what an operation will do to a machine, or the workflow that does it.
type Plan struct {
	Destroys  []string         `json:"destroys,omitempty" doc:"What is lost beside what is on disks, in words"`
	Disks     []PlannedDisk    `json:"disks,omitempty" doc:"Every disk of the last inventory, and what happens to it"`
	Addresses []string         `json:"addresses,omitempty" doc:"What happens to addresses, in words" example:"takes one of prov (10.20.0.0/24)"`
	Traffic   int64            `json:"traffic,omitempty" doc:"Bytes that the site's agent sends to the machine over its provisioning network"`
	Usual     *UsualRun        `json:"usual,omitempty" doc:"How long that usually takes on this model"`
	Becomes   sprout.State     `json:"becomes,omitempty" doc:"The machine's state once it is done; absent: as it is"`
	FastTrack bool             `json:"fastTrack,omitempty" doc:"The machine waits in the ramdisk: it is written at once, without a power cycle, and an image of a disk is started by kexec" example:"true"`
	Warnings  []string         `json:"warnings,omitempty" doc:"Why it may fail after all, as far as the last inventory tells"`
	Workflow  *sprout.Workflow `json:"workflow,omitempty" doc:"Absent where only the plan was asked for"`
}

// Destructive tells whether something is lost for good.
func (p Plan) Destructive() bool {
	return len(p.Destroys) > 0 || slices.ContainsFunc(p.Disks, func(d PlannedDisk) bool { return d.Fate != DiskKept && !d.Empty })
}

// What happens to a disk.
const (
	DiskKept        = "kept"
	DiskOverwritten = "overwritten"
	DiskErased      = "erased"
	DiskUnsure      = "unsure" // which one is chosen cannot be told
)

// A PlannedDisk is a disk and what happens to it.
type PlannedDisk struct {
	Name   string `json:"name" example:"vda"`
	Model  string `json:"model,omitempty"`
	Serial string `json:"serial,omitempty"`
	Bytes  int64  `json:"bytes"`
	Fate   string `json:"fate" enum:"kept,overwritten,erased,unsure" doc:"unsure: it may be the one that is written"`
	// Partitions are those that a layout makes on it.
	Partitions []PlannedPartition `json:"partitions,omitempty" doc:"What a layout makes of it; absent: the image has its own, or none are made"`
	Empty      bool               `json:"empty,omitempty" doc:"It was erased and read back after all that wrote to it: nothing can be lost"`
	// Of a disk that is erased, or that an erase leaves as it is.
	Method  sprout.EraseMethod `json:"method,omitempty" doc:"How it is erased" example:"nvme-format"`
	Proof   string             `json:"proof,omitempty" enum:"whole,sampled" doc:"How much of it is read back: all, or 512 places of 4 MiB of a disk larger than 8 GiB, by a method that speaks for the whole disk"`
	Seconds float64            `json:"seconds,omitempty" doc:"About how long that takes, as the disk says or by its size"`
	Why     string             `json:"why,omitempty" doc:"Why a disk is left as it is by an erase, or better methods are passed" example:"is read-only"`
}

// A PlannedPartition is one that a layout makes on a disk.
type PlannedPartition struct {
	Number int    `json:"number" doc:"From 1" example:"3"`
	Name   string `json:"name" example:"root"`
	Bytes  int64  `json:"bytes" example:"8589934592"`
	What   string `json:"what" doc:"What is on it, in words" example:"RAID 1 over 2 disks, ext4 on /"`
}

// A UsualRun is how long a kind of workflow took in past runs, on machines of
// one vendor and model.
type UsualRun struct {
	Kind   string  `json:"kind" example:"deploy"`
	Vendor string  `json:"vendor"`
	Model  string  `json:"model"`
	Runs   int     `json:"runs" doc:"Past runs that succeeded; with fewer than 3 there are no figures"`
	P50    float64 `json:"p50,omitempty" doc:"Seconds that half of the runs took at most"`
	P95    float64 `json:"p95,omitempty" doc:"Seconds that 95 of 100 runs took at most"`
}

// A Cost is what the planned items of a bulk cost together.
type Cost struct {
	Machines    int        `json:"machines"`
	Destructive int        `json:"destructive" doc:"How many of the machines lose something"`
	Disks       int        `json:"disks" doc:"How many disks lose what is on them"`
	Bytes       int64      `json:"bytes" doc:"Size of those disks together"`
	Seconds     float64    `json:"seconds,omitempty" doc:"The longest p50 of past runs: what it takes when all run side by side"`
	Sites       []SiteCost `json:"sites"`
}

// A SiteCost is what a bulk costs at one site.
type SiteCost struct {
	Site      string `json:"site" doc:"Name"`
	Machines  int    `json:"machines"`
	Uplink    int64  `json:"uplink,omitempty" doc:"Bytes of the image from the control plane to the site: once, and none where the site has it already"`
	Traffic   int64  `json:"traffic,omitempty" doc:"Bytes over the site's provisioning network"`
	Addresses int    `json:"addresses,omitempty" doc:"Addresses taken; negative: given back"`
}
