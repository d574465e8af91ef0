package api

import "sprout"

// Hardware is what a machine has, beside what it is expected to have.
type Hardware struct {
	Expected    *sprout.Inventory   `json:"expected,omitempty" doc:"What it is expected to have: what was found when nothing was wrong, or was accepted; absent: nobody has looked at it yet"`
	Found       *sprout.Inventory   `json:"found,omitempty" doc:"What was found last"`
	Outliers    []sprout.Outlier    `json:"outliers" doc:"Which of its figures are far worse than those of its sisters in other machines; empty: none"`
	Differences []sprout.Difference `json:"differences" doc:"In what they differ; empty: in nothing"`
}

// The operations on what a machine is expected to have.
var (
	MachineHardwareShow = Op[MachineRef, Hardware]{
		Name: "machine hardware show", Method: "GET", Path: "/v1/machines/{machine}/hardware", Role: sprout.Viewer, Help: "Show in what a machine's hardware differs from what it is expected to have.",
	}
	MachineHardwareAccept = Op[MachineRef, sprout.Machine]{
		Name: "machine hardware accept", Method: "POST", Path: "/v1/machines/{machine}/hardware/accept", Role: sprout.Operator, Help: "Expect of a machine the hardware that was found in it last.",
	}
)
