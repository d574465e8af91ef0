package api

import "sprout"

// SetMachineNetwork is the input of MachineNetworkSet; it replaces the whole, and
// no interface at all takes it away.
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
)
