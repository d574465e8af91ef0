package api

import "sprout"

// ListProblems narrows a list of problems.
type ListProblems struct {
	OfSite
	Paging
	All bool `query:"all" doc:"Those that are over as well"`
}

// ProblemList lists what is wrong.
var ProblemList = Op[ListProblems, Page[sprout.Problem]]{
	Name: "problem list", Method: "GET", Path: "/v1/problems", Role: sprout.Viewer, Help: "List what is wrong now, and what helps.",
}

func problemOperations() []Operation { return []Operation{ProblemList} }
