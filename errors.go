package sprout

import (
	"errors"
	"fmt"
	"strings"
)

// A Kind says what a caller may do about an error. An error without a kind is
// internal: it is logged, and masked at the edge.
type Kind string

const (
	Invalid     Kind = "invalid"     // the request is wrong: change it
	NotFound    Kind = "not-found"   // what it names does not exist
	Conflict    Kind = "conflict"    // it is right, but not in this state
	Denied      Kind = "denied"      // who asks may not
	Unavailable Kind = "unavailable" // try again later
	Internal    Kind = "internal"    // a defect of ours
)

// ErrorKinds is the one table from a kind to what the edges show: the HTTP
// status of the API and the exit code of the CLI. Usage errors found by the
// CLI itself exit with 2. The CLI documents its codes in cli/exit.go.
var ErrorKinds = []struct {
	Kind   Kind
	Status int
	Exit   int
}{
	{Invalid, 422, 2},
	{NotFound, 404, 1},
	{Conflict, 409, 1},
	{Denied, 403, 1},
	{Unavailable, 503, 5},
	{Internal, 500, 1},
}

// An Error is an error with a kind and, where the request is to blame, the
// field that is wrong; Remedy is the command or action that helps.
type Error struct {
	Kind    Kind
	Field   string // the request's field, in JSON spelling; may be empty
	Message string // begins "cannot …" or says what is allowed
	Remedy  string // may be empty
	Err     error  // the cause, where a caller may act on it; may be nil
}

func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Message
	}
	return e.Message
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an error of the kind. A %w verb keeps the cause.
func Errorf(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Message: err.Error(), Err: errors.Unwrap(err)}
}

// InvalidField makes an Invalid error about one field of a request.
func InvalidField(field, format string, args ...any) *Error {
	e := Errorf(Invalid, format, args...)
	e.Field = field
	return e
}

// Within puts the field of an error below another: "machines[2]" + "name".
func Within(path string, err error) error {
	var known *Error
	if path == "" || !errors.As(err, &known) {
		return err
	}
	deeper := *known
	deeper.Field = strings.TrimSuffix(path+"."+known.Field, ".")
	return &deeper
}

// WithRemedy returns e with the action that helps.
func (e *Error) WithRemedy(format string, args ...any) *Error {
	e.Remedy = fmt.Sprintf(format, args...)
	return e
}

// KindOf returns the kind of err, Internal where it has none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}
