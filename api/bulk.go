package api

import (
	"sprout"
)

// MostInBulk is how many machines one MachineBulk may be about.
const MostInBulk = 10000

// BulkMachines is the input of MachineBulk: one action on many machines, which
// are named, or selected as MachineList does.
type BulkMachines struct {
	Body struct {
		Action   string           `json:"action" enum:"accept,commission,deploy,release,mark-broken,mark-fixed,retire,lock,unlock,update,delete" doc:"What to do, as the operation of this name does it to one machine"`
		Machines []string         `json:"machines,omitempty" maxItems:"10000" doc:"Ids, names, site/names or unique prefixes; in place of select"`
		Select   *MachineSelector `json:"select,omitempty" doc:"Every machine that meets all of it; in place of machines"`
		Plan     bool             `json:"plan,omitempty" doc:"Check everything and answer with what would happen and what it costs; do nothing"`

		Commission *Commission     `json:"commission,omitempty" doc:"Of the action commission"`
		Deploy     *Deployment     `json:"deploy,omitempty" doc:"Of the action deploy, which needs it"`
		Release    *Releasing      `json:"release,omitempty" doc:"Of the action release"`
		Mark       *Marking        `json:"mark,omitempty" doc:"Of the actions mark-broken, mark-fixed and retire"`
		Update     *MachineUpdates `json:"update,omitempty" doc:"Of the action update, which needs it"`
	}
}

// A MachineSelector chooses machines. What is absent does not restrict.
type MachineSelector struct {
	All bool `json:"all,omitempty" doc:"Every machine there is; needed where nothing else restricts"`
	MachineMatch
}

// MachineUpdates is what may be changed of many machines alike.
type MachineUpdates struct {
	Tags         *[]string   `json:"tags,omitempty"`
	Labels       LabelChange `json:"labels,omitempty" doc:"Labels to set; null takes one away; others stay"`
	Pool         *string     `json:"pool,omitempty"`
	Zone         *string     `json:"zone,omitempty"`
	Protected    *bool       `json:"protected,omitempty" doc:"Refuse what destroys data"`
	SecureBoot   *bool       `json:"secureBoot,omitempty" doc:"Their firmware enforces Secure Boot: give them signed loaders only"`
	VirtualMedia *bool       `json:"virtualMedia,omitempty" doc:"Their BMCs insert what they boot, as CDs: they need no DHCP, and boot by UEFI only"`

	RecordConsole *bool `json:"recordConsole,omitempty" doc:"Their consoles are kept open while work boots them, so that what they say is in the boot timeline: their BMCs have none left for others then" example:"true"`
}

// What came of one machine of a bulk.
const (
	BulkAccepted = "accepted" // a workflow does it
	BulkDone     = "done"
	BulkPlanned  = "planned" // nothing stands in its way, and nothing was done
	BulkRefused  = "refused"
)

// A BulkItem is what came of one machine.
type BulkItem struct {
	Machine  sprout.MachineID `json:"machine,omitempty" doc:"Absent where no machine was found"`
	Name     string           `json:"name" doc:"Of the machine; as the request called it where none was found"`
	Site     string           `json:"site,omitempty" doc:"Name of its site"`
	Outcome  string           `json:"outcome" enum:"accepted,done,planned,refused" doc:"accepted: a workflow does it; done: it is; planned: it could be, and nothing was done; refused: see fault"`
	State    sprout.State     `json:"state,omitempty" doc:"Of the machine, after what was done"`
	Workflow *sprout.Workflow `json:"workflow,omitempty" doc:"Where accepted"`
	Plan     *Plan            `json:"plan,omitempty" doc:"Where planned"`
	Fault    *Fault           `json:"fault,omitempty" doc:"Where refused: the problem document that the operation on this machine alone would have answered"`
}

// A BulkResult is what came of each machine, in the order of the request.
type BulkResult struct {
	Action  string     `json:"action"`
	Items   []BulkItem `json:"items"`
	Refused int        `json:"refused" doc:"How many of the items were refused"`
	Cost    *Cost      `json:"cost,omitempty" doc:"Of a plan: of all planned items together"`
}

// MachineBulk does one thing to many machines.
var MachineBulk = Op[BulkMachines, BulkResult]{
	Name: "machine bulk", Method: "POST", Path: "/v1/machines/bulk", Role: sprout.Operator, Many: true,
	Help: "Do one thing to many machines, each by itself: a machine that is refused stops no other, so the answer is 200 with what came of each. " +
		"Items are audited as the operation on one machine is, under the id of this request.",
}
