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

// ProblemList lists what is wrong.
var ProblemList = Op[ListProblems, Page[sprout.Problem]]{
	Name: "problem list", Method: "GET", Path: "/v1/problems", Role: sprout.Viewer, Help: "List what is wrong now, and what helps.",
}

func problemOperations() []Operation { return []Operation{ProblemList} }
