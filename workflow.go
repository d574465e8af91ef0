package sprout

import (
	"strconv"
	"time"
)

// A WorkflowState says whether a workflow still moves.
type WorkflowState string

const (
	Running   WorkflowState = "running"   // has a step to take or a wait with a reason
	Unwinding WorkflowState = "unwinding" // undoes its steps after a failure or a cancel
	Succeeded WorkflowState = "succeeded"
	FailedRun WorkflowState = "failed"    // may be retried
	Cancelled WorkflowState = "cancelled" // may be retried
)

// Ended tells whether the workflow will not move again by itself.
func (s WorkflowState) Ended() bool {
	return s == Succeeded || s == FailedRun || s == Cancelled
}

// A Workflow is a durable run of named steps, as people see it.
type Workflow struct {
	ID          WorkflowID    `json:"id"`
	Kind        string        `json:"kind" example:"deploy"`
	Site        SiteID        `json:"site"`
	SiteName    string        `json:"siteName"`
	Machine     MachineID     `json:"machine,omitempty"`
	MachineName string        `json:"machineName,omitempty"`
	State       WorkflowState `json:"state"`
	Step        string        `json:"step" doc:"The step it is at; of the site's part where that runs"`
	Wait        *Wait         `json:"wait,omitempty"`
	Progress    *Progress     `json:"progress,omitempty"`
	Steps       []StepRecord  `json:"steps" doc:"Every step so far, those at the site included"`
	Error       *Failure      `json:"error,omitempty"`
	Actor       string        `json:"actor"`
	Request     string        `json:"request,omitempty" doc:"Id of the request that asked for it, which the audit carries too"`
	Rev         int64         `json:"revision" doc:"Rises when the state moves: what If-Match compares"`
	Retries     int           `json:"retries"`
	CreatedAt   time.Time     `json:"createdAt"`
	EndedAt     *time.Time    `json:"endedAt,omitempty"`
}

// Revision is the part of the entity tag that If-Match compares.
func (w Workflow) Revision() string { return strconv.FormatInt(w.Rev, 10) }

// A Wait says what a workflow waits for, since when and until when.
type Wait struct {
	For   string    `json:"for" example:"the ramdisk to report"`
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
}

// A Progress is how far long work is.
type Progress struct {
	Done   int64   `json:"done"`
	Total  int64   `json:"total"`
	Unit   string  `json:"unit" example:"B"`
	PerSec float64 `json:"perSec" doc:"Units a second, lately"`
	About  string  `json:"about,omitempty" doc:"What it is at, in words" example:"memtester on memory: 3 of 10 passes"`
	Waits  string  `json:"waits,omitempty" doc:"What it waits for before it goes on" example:"its turn to download: 12 do, 3 are before it"`
}

// A StepRecord is one taking of one step.
type StepRecord struct {
	Name      string     `json:"name"`
	At        string     `json:"at" enum:"centre,site" doc:"Who ran it"`
	Attempt   int        `json:"attempt"`
	Outcome   string     `json:"outcome" enum:"running,done,failed,undone,skipped"`
	Detail    string     `json:"detail,omitempty"`
	StartedAt time.Time  `json:"startedAt"`
	EndedAt   *time.Time `json:"endedAt,omitempty"`
}

// A Failure is why something stopped, with the evidence and what helps.
type Failure struct {
	Code     Code   `json:"code" example:"image-digest-mismatch"`
	Type     string `json:"type,omitempty" doc:"URI reference of the page that explains the code, as in RFC 9457" example:"/docs/problems/image-digest-mismatch"`
	Step     string `json:"step,omitempty"`
	Reason   string `json:"reason"`
	Evidence string `json:"evidence,omitempty"`
	Remedy   string `json:"remedy,omitempty" doc:"What to do, as a command where there is one"`
}

func (f *Failure) Error() string { return string(f.Code) + ": " + f.Reason }
