package api

import (
	"time"

	"sprout"
)

// MachineRef names a machine by id, name or unique prefix.
type MachineRef struct {
	Machine string `path:"machine" doc:"Id, name, site/name or unique prefix of a machine"`
}

// ListOfMachine is the input of lists of what belongs to a machine.
type ListOfMachine struct {
	MachineRef
	Paging
}

// ListMachines narrows a list of machines.
type ListMachines struct {
	MachineMatch
	Sort string `query:"sort" enum:"created,-created,name,-name,state,-state" doc:"Order; a hyphen sorts backwards; empty: created"`
	Paging
}

// A NewMachine is a machine as people describe it before it was ever seen.
type NewMachine struct {
	Site         string              `json:"site" doc:"Id, name or unique prefix of a site"`
	Name         string              `json:"name" doc:"Unique in the site, a DNS label" example:"web-01"`
	MACs         []string            `json:"macs" minItems:"1" doc:"Of its interfaces; the first is the one it boots from"`
	Architecture sprout.Architecture `json:"architecture,omitempty" enum:"amd64,arm64" doc:"Empty: amd64"`
	BootMode     sprout.BootMode     `json:"bootMode,omitempty" enum:"bios,uefi"`
	SecureBoot   bool                `json:"secureBoot,omitempty" doc:"Its firmware enforces Secure Boot: it boots signed loaders only"`
	VirtualMedia bool                `json:"virtualMedia,omitempty" doc:"Its BMC inserts what it boots, as a CD: it needs no DHCP, and boots by UEFI only"`
	BMC          *sprout.BMC         `json:"bmc,omitempty"`
	Tags         []string            `json:"tags,omitempty"`
	Labels       sprout.Labels       `json:"labels,omitempty" maxProperties:"64" doc:"Keys and values as Kubernetes writes labels" example:"{\"rack\":\"r1\"}"`
	Pool         string              `json:"pool,omitempty"`
	Zone         string              `json:"zone,omitempty" doc:"Failure zone"`

	RecordConsole bool `json:"recordConsole,omitempty" doc:"Its console is kept open while work boots it, so that what it says is in the boot timeline: its BMC has none left for others then" example:"true"`
}

// CreateMachine is the input of MachineCreate.
type CreateMachine struct{ Body NewMachine }

// ImportMachines is the input of MachineImport: all or none.
type ImportMachines struct {
	Body struct {
		Machines []NewMachine `json:"machines" minItems:"1" maxItems:"10000"`
		Plan     bool         `json:"plan,omitempty" doc:"Check everything and answer what would be registered; register nothing"`
	}
}

// UpdateMachine is the input of MachineUpdate; what is absent stays as it is.
type UpdateMachine struct {
	MachineRef
	Body struct {
		Name         *string     `json:"name,omitempty"`
		Tags         *[]string   `json:"tags,omitempty"`
		Labels       LabelChange `json:"labels,omitempty" doc:"Labels to set; null takes one away; others stay"`
		Pool         *string     `json:"pool,omitempty"`
		Zone         *string     `json:"zone,omitempty"`
		Protected    *bool       `json:"protected,omitempty" doc:"Refuse what destroys data"`
		SecureBoot   *bool       `json:"secureBoot,omitempty" doc:"Its firmware enforces Secure Boot: give it signed loaders only"`
		VirtualMedia *bool       `json:"virtualMedia,omitempty" doc:"Its BMC inserts what it boots, as a CD: it needs no DHCP, and boots by UEFI only"`
		BMC          *sprout.BMC `json:"bmc,omitempty" doc:"In place of the old one; an empty password keeps the old password"`

		RecordConsole *bool `json:"recordConsole,omitempty" doc:"Its console is kept open while work boots it, so that what it says is in the boot timeline: its BMC has none left for others then" example:"true"`
	}
}

// A Commission says how to commission.
type Commission struct {
	Tests       []sprout.TestChoice `json:"tests,omitempty" maxItems:"32" doc:"Tests to run beside the usual ones"`
	Destructive bool                `json:"destructive,omitempty" doc:"Tests may overwrite the disks" example:"false"`
	SkipTests   bool                `json:"skipTests,omitempty" doc:"Run none; recorded as such, with the reason"`
	SkipReason  string              `json:"skipReason,omitempty" maxLength:"500" doc:"Why tests are skipped; needed where they are" example:"tested by the vendor"`
	FastTrack   int                 `json:"fastTrack,omitempty" minimum:"0" maximum:"604800" doc:"Seconds that the machine then waits in the ramdisk, switched on, at most a week: a deploy in that time needs no power cycle, and ends by kexec. 0: it is switched off" example:"28800"`
}

// CommissionMachine is the input of MachineCommission.
type CommissionMachine struct {
	MachineRef
	Body Commission
}

// AllocateMachine is the input of MachineAllocate.
type AllocateMachine struct {
	Body struct {
		Constraints
		Owner string `json:"owner,omitempty" doc:"Empty: who asks"`
	}
}

// A Deployment says what to install.
type Deployment struct {
	Image    string          `json:"image" doc:"Name, alias, id or digest of an image: what it means now is installed, also where an alias is moved meanwhile" example:"debian-12"`
	Disk     sprout.DiskRule `json:"disk,omitzero" doc:"The disk to write; empty: the only one that fits"`
	SSHKeys  []string        `json:"sshKeys,omitempty" doc:"Authorized keys of the first user"`
	UserData string          `json:"userData,omitempty" maxLength:"524288" doc:"cloud-init user data; at most 512 KiB, so that the work fits one message to the site"`
	Network  string          `json:"network,omitempty" doc:"Network to take the address from; empty: the only one of the site"`
	// Layout is what the disks become for a root file system.
	Layout *sprout.LayoutChoice `json:"layout,omitempty" doc:"Of an image of a root file system, which needs one: what its disks become"`
	// Metadata is how the installed system gets it.
	Metadata sprout.MetadataBy `json:"metadata,omitempty" enum:"drive,http,ignition" doc:"How the system gets its metadata: all of it on its config drive (default), or once, at its first boot, by HTTP from the agent, with a URL that is good until it has reported; it then needs DHCP or an address of its own to get there. ignition: as http, for images whose Ignition reads OpenStack's config drive"`
}

// DeployMachine is the input of MachineDeploy.
type DeployMachine struct {
	MachineRef
	Body struct {
		Deployment
		Plan bool `json:"plan,omitempty" doc:"Check everything and answer with what would happen; do nothing"`
	}
}

// A Releasing says how to release.
type Releasing struct {
	Erase       bool               `json:"erase,omitempty" doc:"Erase every disk and prove it"`
	EraseMethod sprout.EraseMethod `json:"eraseMethod,omitempty" enum:"nvme-sanitize,nvme-format,ata-erase,secure-discard,discard,zeroes,overwrite" doc:"By this method alone, and refused where a disk cannot; empty: by the best that each disk can have"`
	Force       string             `json:"force,omitempty" maxLength:"500" doc:"Why the site is not waited for: the machine is taken back at once, becomes registered, and says what was not done, the erasing first of all. Also forces a release that runs" example:"the site burned down"`
}

// ReleaseMachine is the input of MachineRelease.
type ReleaseMachine struct {
	MachineRef
	Body struct {
		Releasing
		Plan bool `json:"plan,omitempty" doc:"Answer with what would happen; do nothing"`
	}
}

// A Marking says why a machine is set aside, taken back or retired.
type Marking struct {
	Reason string `json:"reason,omitempty" doc:"For the history"`
}

// MarkMachine is the input of MachineMarkBroken, MachineMarkFixed and MachineRetire.
type MarkMachine struct {
	MachineRef
	Body Marking
}

// A HistoryEntry is one move of a machine.
type HistoryEntry struct {
	At       time.Time         `json:"at"`
	From     sprout.State      `json:"from,omitempty"`
	To       sprout.State      `json:"to"`
	Event    string            `json:"event"`
	Actor    string            `json:"actor"`
	Workflow sprout.WorkflowID `json:"workflow,omitempty"`
	Detail   string            `json:"detail,omitempty"`
}

// The operations on machines.
var (
	MachineCreate = Op[CreateMachine, sprout.Machine]{
		Name: "machine create", Method: "POST", Path: "/v1/machines", Role: sprout.Operator, Status: 201, Help: "Register a machine.",
	}
	MachineImport = Op[ImportMachines, []sprout.Machine]{
		Name: "machine import", Method: "POST", Path: "/v1/machines/import", Role: sprout.Operator, Status: 201, Help: "Register many machines, all or none.",
	}
	MachineList = Op[ListMachines, Page[sprout.Machine]]{
		Name: "machine list", Method: "GET", Path: "/v1/machines", Role: sprout.Viewer, Help: "List the machines.",
	}
	MachineShow = Op[MachineRef, sprout.Machine]{
		Name: "machine show", Method: "GET", Path: "/v1/machines/{machine}", Role: sprout.Viewer, Help: "Show a machine with inventory, tests and problems.",
	}
	MachineUpdate = Op[UpdateMachine, sprout.Machine]{
		Name: "machine update", Method: "PATCH", Path: "/v1/machines/{machine}", Role: sprout.Operator, Help: "Change a machine's description.",
	}
	MachineDelete = Op[MachineRef, None]{
		Name: "machine delete", Method: "DELETE", Path: "/v1/machines/{machine}", Role: sprout.Operator, Help: "Delete a machine that is not in use.",
	}
	MachineAccept = Op[MachineRef, sprout.Machine]{
		Name: "machine accept", Method: "POST", Path: "/v1/machines/{machine}/accept", Role: sprout.Operator, Help: "Take a discovered machine in.",
	}
	MachineCommission = Op[CommissionMachine, sprout.Workflow]{
		Name: "machine commission", Method: "POST", Path: "/v1/machines/{machine}/commission", Role: sprout.Operator, Status: 202, Help: "Inspect and test a machine.",
	}
	MachineAllocate = Op[AllocateMachine, sprout.Machine]{
		Name: "machine allocate", Method: "POST", Path: "/v1/machines/allocate", Role: sprout.Operator, Shared: true, Help: "Choose a ready machine that meets constraints and give it to an owner.",
	}
	MachineDeploy = Op[DeployMachine, Plan]{
		Name: "machine deploy", Method: "POST", Path: "/v1/machines/{machine}/deploy", Role: sprout.Operator, Status: 202, Help: "Install an image on a machine.",
	}
	MachineRelease = Op[ReleaseMachine, Plan]{
		Name: "machine release", Method: "POST", Path: "/v1/machines/{machine}/release", Role: sprout.Operator, Status: 202, Help: "Take a machine back from its owner.",
	}
	MachineMarkBroken = Op[MarkMachine, sprout.Machine]{
		Name: "machine mark-broken", Method: "POST", Path: "/v1/machines/{machine}/mark-broken", Role: sprout.Operator, Help: "Set a machine aside.",
	}
	MachineMarkFixed = Op[MarkMachine, sprout.Machine]{
		Name: "machine mark-fixed", Method: "POST", Path: "/v1/machines/{machine}/mark-fixed", Role: sprout.Operator, Help: "Take a broken machine back, to be commissioned anew.",
	}
	MachineRetire = Op[MarkMachine, sprout.Machine]{
		Name: "machine retire", Method: "POST", Path: "/v1/machines/{machine}/retire", Role: sprout.Operator, Help: "Take a machine out of service for good, and keep its record.",
	}
	MachineLock = Op[MachineRef, sprout.Machine]{
		Name: "machine lock", Method: "POST", Path: "/v1/machines/{machine}/lock", Role: sprout.Operator, Help: "Refuse every workflow on a machine.",
	}
	MachineUnlock = Op[MachineRef, sprout.Machine]{
		Name: "machine unlock", Method: "POST", Path: "/v1/machines/{machine}/unlock", Role: sprout.Operator, Help: "Allow workflows on a machine again.",
	}
	MachineHistory = Op[ListOfMachine, Page[HistoryEntry]]{
		Name: "machine history", Method: "GET", Path: "/v1/machines/{machine}/history", Role: sprout.Viewer, Help: "List a machine's moves, the latest first.",
	}
)

func machineOperations() []Operation {
	return []Operation{
		of(MachineCreate), of(MachineImport), of(MachineList), of(MachineShow), of(MachineUpdate), of(MachineDelete), of(MachineAccept), of(MachineCommission), of(MachineAllocate),
		of(MachineDeploy), of(MachineRelease), of(MachineMarkBroken), of(MachineMarkFixed), of(MachineRetire), of(MachineLock), of(MachineUnlock), of(MachineHistory), of(MachineBulk),
		of(MachineNetworkShow), of(MachineNetworkSet), of(MachineHardwareShow), of(MachineHardwareAccept), of(MachineRescue), of(MachineUnrescue),
	}
}
