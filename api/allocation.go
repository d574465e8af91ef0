package api

import (
	"sprout"
	"sprout/alloc"
)

// AllocationRef names an allocation by id or unique prefix.
type AllocationRef struct {
	Allocation string `path:"allocation" doc:"Id or unique prefix of an allocation"`
}

// ListAllocations narrows a list of allocations.
type ListAllocations struct {
	Owner string                   `query:"owner" doc:"Only of this owner" example:"shop"`
	State []sprout.AllocationState `query:"state" enum:"queued,given,over,expired,cancelled" maxItems:"5" doc:"Only in one of these states"`
	Paging
}

// CreateAllocation is the input of AllocationCreate.
type CreateAllocation struct {
	Body struct {
		Constraints
		Owner  string `json:"owner,omitempty" doc:"Empty: who asks"`
		Count  int    `json:"count,omitempty" minimum:"0" maximum:"1000" doc:"How many machines: all of them, or none; 0: one" example:"3"`
		Spread string `json:"spread,omitempty" enum:"zone" doc:"zone: evenly over failure zones" example:"zone"`
		For    int64  `json:"for,omitempty" minimum:"0" maximum:"315360000" doc:"Seconds after which those machines go back that are not deployed by then; 0: never" example:"14400"`
		Queue  bool   `json:"queue,omitempty" doc:"Where there are too few now: wait for them, behind those who wait already" example:"true"`
	}
}

// ExtendAllocation is the input of AllocationExtend.
type ExtendAllocation struct {
	AllocationRef
	Body struct {
		For int64 `json:"for" minimum:"0" maximum:"315360000" doc:"Seconds from now, or for what is queued from when it is given; 0: for as long as their owner wants" example:"14400"`
	}
}

// An AllocationWait is why an allocation still waits, as it is now.
type AllocationWait struct {
	Why     string          `json:"why" doc:"In words for people" example:"2 of 40 machines fit, and 3 are wanted"`
	Fit     int             `json:"fit" doc:"Machines that fit now" example:"2"`
	Of      int             `json:"of" doc:"Machines that there are" example:"40"`
	Removed []alloc.Removal `json:"removed" doc:"How many machines each constraint removed"`
}

// An AllocationReport is an allocation with what was asked for, and while it waits,
// why.
type AllocationReport struct {
	sprout.Allocation
	Constraints Constraints     `json:"constraints" doc:"What each machine had to meet"`
	Wait        *AllocationWait `json:"wait,omitempty" doc:"Why it still waits; absent: it does not"`
}

// The operations on allocations.
var (
	AllocationCreate = Op[CreateAllocation, AllocationReport]{
		Name: "allocation create", Method: "POST", Path: "/v1/allocations", Role: sprout.Operator, Help: "Give several machines that meet constraints to an owner, all or none; or wait for them.",
	}
	AllocationList = Op[ListAllocations, Page[sprout.Allocation]]{
		Name: "allocation list", Method: "GET", Path: "/v1/allocations", Role: sprout.Viewer, Help: "List allocations, the newest first.",
	}
	AllocationShow = Op[AllocationRef, AllocationReport]{
		Name: "allocation show", Method: "GET", Path: "/v1/allocations/{allocation}", Role: sprout.Viewer, Help: "Show an allocation: its machines, or its place in the queue and why it waits.",
	}
	AllocationExtend = Op[ExtendAllocation, AllocationReport]{
		Name: "allocation extend", Method: "PATCH", Path: "/v1/allocations/{allocation}", Role: sprout.Operator, Help: "Have a reservation end later, or never.",
	}
	AllocationCancel = Op[AllocationRef, None]{
		Name: "allocation cancel", Method: "DELETE", Path: "/v1/allocations/{allocation}", Role: sprout.Operator, Help: "Take an allocation back: it waits no longer, and its machines go back but for those that are deployed.",
	}
)

func allocationOperations() []Operation {
	return []Operation{of(AllocationCreate), of(AllocationList), of(AllocationShow), of(AllocationExtend), of(AllocationCancel)}
}
