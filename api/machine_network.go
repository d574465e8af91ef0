package api

import "sprout"

// SetMachineNetwork is the input of MachineNetworkSet; it replaces the whole.
type SetMachineNetwork struct {
	MachineRef
	Body sprout.NetworkConfig
}

// The operations on how installed systems configure their network.
var (
	MachineNetworkShow = Op[MachineRef, sprout.NetworkConfig]{
		Name: "machine network show", Method: "GET", Path: "/v1/machines/{machine}/network", Role: sprout.Viewer, Help: "Show how the system that a deploy installs configures its network.",
	}
	MachineNetworkSet = Op[SetMachineNetwork, sprout.NetworkConfig]{
		Name: "machine network set", Method: "PUT", Path: "/v1/machines/{machine}/network", Role: sprout.Operator, Help: "Say how the system that a deploy installs configures its network.",
	}
	MachineNetworkClear = Op[MachineRef, None]{
		Name: "machine network clear", Method: "DELETE", Path: "/v1/machines/{machine}/network", Role: sprout.Operator, Help: "Leave one interface with one address, as without a network configuration.",
	}
)
