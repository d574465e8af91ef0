package api

import "sprout"

// ListProblems narrows a list of problems.
type ListProblems struct {
	OfSite
	Paging
	Machine  string          `query:"machine" doc:"Only of this machine"`
	Code     []sprout.Code   `query:"code" maxItems:"32" doc:"Only with one of these codes" example:"bmc-denied"`
	Severity sprout.Severity `query:"severity" enum:"warning,critical"`
	Sort     string          `query:"sort" enum:"since,-since,code,-code,severity,-severity" doc:"Order; a hyphen sorts backwards; severity begins with what is critical; empty: since"`
	All      bool            `query:"all" doc:"Those that are over as well"`
}

// ProblemRef names a problem by id or the unique beginning of one.
type ProblemRef struct {
	Problem string `path:"problem" doc:"Id or unique prefix of a problem; one that is over has it still"`
}

// A ShownProblem is a problem and what its code means.
type ShownProblem struct {
	sprout.Problem
	Means string `json:"means" doc:"What the code means, whatever it is about"`
}

// The operations on problems.
var (
	ProblemList = Op[ListProblems, Page[sprout.Problem]]{
		Name: "problem list", Method: "GET", Path: "/v1/problems", Role: sprout.Viewer, Help: "List what is wrong now, and what helps.",
	}
	ProblemShow = Op[ProblemRef, ShownProblem]{
		Name: "problem show", Method: "GET", Path: "/v1/problems/{problem}", Role: sprout.Viewer, Help: "Show a problem: what it means, what it is about, what was seen and what helps.",
	}
)

func problemOperations() []Operation { return []Operation{of(ProblemList), of(ProblemShow)} }
