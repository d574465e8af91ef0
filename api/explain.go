package api

import (
	"time"

	"sprout"
)

// An Explanation is what a machine or a workflow is doing and why: what it waits
// for, how long that usually takes, what was seen of it, and what helps.
type Explanation struct {
	Machine  string             `json:"machine" doc:"Name"`
	Site     string             `json:"site" doc:"Name"`
	State    sprout.State       `json:"state"`
	Power    sprout.PowerState  `json:"power"`
	Workflow *ExplainedWorkflow `json:"workflow,omitempty" doc:"What it does, or did last; none: nothing was ever asked of it"`
	Usual    *Usual             `json:"usual,omitempty" doc:"How long the step usually takes on this model"`
	Limit    *sprout.StepLimit  `json:"limit,omitempty" doc:"How long the step may take, and why so long; none: it has no limit of its own"`
	Cause    *Cause             `json:"cause,omitempty" doc:"Why it does not go on, as far as that can be told"`
	Offline  bool               `json:"offline,omitempty" doc:"The site's agent is not heard of: what is known of running work is from then, and it goes on by itself"`
	HeardAt  *time.Time         `json:"heardAt,omitempty" doc:"When the site's agent was heard of last, where it is offline"`
	Attempt  sprout.AttemptID   `json:"attempt,omitempty" doc:"The boot attempt that the evidence is of"`
	Evidence []sprout.BootEvent `json:"evidence" doc:"What was seen last, the oldest first"`
	Console  []sprout.BootEvent `json:"console" doc:"What its console said last, the oldest first: what its kernel warned of, and where its console is recorded the rest"`
	Problems []sprout.Problem   `json:"problems"`
	Help     []string           `json:"help" doc:"Commands that help, the best first"`
	At       time.Time          `json:"at" doc:"When this was so"`
}

// An ExplainedWorkflow is where a workflow is.
type ExplainedWorkflow struct {
	ID       sprout.WorkflowID    `json:"id"`
	Kind     string               `json:"kind" example:"deploy"`
	State    sprout.WorkflowState `json:"state"`
	Step     string               `json:"step" example:"boot-ramdisk"`
	Since    time.Time            `json:"since" doc:"When the step began"`
	Until    *time.Time           `json:"until,omitempty" doc:"When what it waits for is given up, or looked at again"`
	Wait     string               `json:"wait,omitempty" doc:"What it waits for" example:"the ramdisk to report"`
	Seconds  float64              `json:"seconds" doc:"How long the step has taken so far"`
	Actor    string               `json:"actor" doc:"Who asked for it"`
	EndedAt  *time.Time           `json:"endedAt,omitempty"`
	Progress *sprout.Progress     `json:"progress,omitempty"`
	Failure  *sprout.Failure      `json:"failure,omitempty"`
}

// A Usual is how long a step took in past runs on machines of the same vendor
// and model.
type Usual struct {
	Step   string  `json:"step"`
	Vendor string  `json:"vendor"`
	Model  string  `json:"model"`
	Runs   int     `json:"runs" doc:"Past runs; with fewer than 3 there are no figures"`
	P50    float64 `json:"p50,omitempty" doc:"Seconds that half of the runs took at most"`
	P95    float64 `json:"p95,omitempty" doc:"Seconds that 95 of 100 runs took at most"`
}

// A Cause is why a boot stopped.
type Cause struct {
	Code     sprout.Code `json:"code" example:"dhcp-offer-ignored"`
	Type     string      `json:"type" doc:"URI reference of the page that explains the code, as in RFC 9457" example:"/docs/problems/dhcp-offer-ignored"`
	Means    string      `json:"means" doc:"What the code means"`
	Reason   string      `json:"reason"`
	Evidence string      `json:"evidence,omitempty"`
	Remedy   string      `json:"remedy"`
}

// The operations that explain.
var (
	MachineExplain = Op[MachineRef, Explanation]{
		Name: "machine explain", Method: "GET", Path: "/v1/machines/{machine}/explain", Role: sprout.Viewer,
		Help: "Say what a machine is doing, what it waits for, why, and what helps.",
	}
	WorkflowExplain = Op[WorkflowRef, Explanation]{
		Name: "workflow explain", Method: "GET", Path: "/v1/workflows/{workflow}/explain", Role: sprout.Viewer,
		Help: "Say what a workflow is doing, what it waits for, why, and what helps.",
	}
)

func explainOperations() []Operation { return []Operation{of(MachineExplain), of(WorkflowExplain)} }
