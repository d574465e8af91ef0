package api

import "sprout"

// RescueMachine is the input of MachineRescue.
type RescueMachine struct {
	MachineRef
	Body struct {
		SSHKeys []string `json:"sshKeys" minItems:"1" maxItems:"32" doc:"Public keys that may log in as root" example:"[\"ssh-ed25519 AAAA… me\"]"`
	}
}

// The operations on machines in rescue.
var (
	MachineRescue = Op[RescueMachine, sprout.Workflow]{
		Name: "machine rescue", Method: "POST", Path: "/v1/machines/{machine}/rescue", Role: sprout.Operator, Status: 202,
		Help: "Boot a deployed machine into memory, with a shell by SSH; its disks stay as they are.",
	}
	MachineUnrescue = Op[MachineRef, sprout.Workflow]{
		Name: "machine unrescue", Method: "POST", Path: "/v1/machines/{machine}/unrescue", Role: sprout.Operator, Status: 202,
		Help: "Boot a machine in rescue from its disk again.",
	}
)
