package api

import (
	"slices"

	"sprout"
)

// errorPages is where every server has a page for each type of error.
const errorPages = "/docs/errors/"

// An ErrorType is a type of problem document, as RFC 9457 means it: what its
// page in docs/errors explains.
type ErrorType struct {
	Name   string // of the page; it never changes its meaning
	Status int    // of HTTP
	Kind   sprout.Kind
	Means  string
}

// URI is the reference of the type's page, which every server has.
func (e ErrorType) URI() string { return errorPages + e.Name }

// ErrorTypes lists every type of error by its status.
func ErrorTypes() []ErrorType {
	var list []ErrorType
	for _, r := range slices.Concat(refusals, edgeRefusals, contentRefusals) {
		list = append(list, ErrorType{r.Name, r.Status, r.Kind, r.When})
	}
	slices.SortFunc(list, func(a, b ErrorType) int { return a.Status - b.Status })
	return list
}

var errorTypes = ErrorTypes()

func errorOfStatus(status int) (ErrorType, bool) {
	i := slices.IndexFunc(errorTypes, func(e ErrorType) bool { return e.Status == status })
	if i < 0 {
		return ErrorType{}, false
	}
	return errorTypes[i], true
}

// typeOf is the type of a problem document. A status without a page of its own
// has the one of its kind.
func typeOf(status int, kind sprout.Kind) string {
	e, ok := errorOfStatus(status)
	if !ok {
		e, _ = errorOfStatus(statusOf(kind))
	}
	return e.URI()
}
