package api

import "sprout"

// ListProblems narrows a list of problems.
type ListProblems struct {
	OfSite
	All bool `query:"all" doc:"Those that are over as well"`
}

// ProblemList lists what is wrong.
var ProblemList = Op[ListProblems, []sprout.Problem]{
	Name: "problem list", Method: "GET", Path: "/v1/problems", Role: sprout.Viewer, Help: "List what is wrong now, and what helps.",
}

func problemOperations() []Operation { return []Operation{ProblemList} }
