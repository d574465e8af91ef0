package api

import "sprout"

// LatestBoot is the attempt of BootShow that names the newest.
const LatestBoot = "latest"

// BootRef names one boot attempt of a machine.
type BootRef struct {
	MachineRef
	Attempt string `path:"attempt" doc:"Id or unique prefix of a boot attempt, or latest" example:"latest"`
}

// The operations on boot attempts.
var (
	BootList = Op[ListOfMachine, Page[sprout.BootAttempt]]{
		Name: "boot list", Method: "GET", Path: "/v1/machines/{machine}/boots", Role: sprout.Viewer,
		Help: "List a machine's boot attempts, the newest first.",
	}
	BootShow = Op[BootRef, sprout.BootAttempt]{
		Name: "boot show", Method: "GET", Path: "/v1/machines/{machine}/boots/{attempt}", Role: sprout.Viewer,
		Help: "Show everything that a boot attempt was seen to do.",
	}
)

func bootOperations() []Operation { return []Operation{of(BootList), of(BootShow)} }
