package api

import (
	"net/http"
	"strings"

	"sprout"
)

// A refusal is a status that an operation may be refused with.
type refusal struct {
	Status int
	Name   string // of its page in docs/errors, for ever: clients may compare it
	Kind   sprout.Kind
	When   string            // in words, for the document
	Of     func(s Spec) bool // the operations that know it; nil: all
}

// refusals is the one table of the statuses that are no success: the document
// and the kinds of answers that are not ours are made from it.
var refusals = []refusal{
	{http.StatusBadRequest, "bad-request", sprout.Invalid, "The body is missing, or is no JSON.", takesBody},
	{http.StatusUnauthorized, "unauthenticated", sprout.Denied, "There is no token, or it is unknown, expired or revoked.", needsToken},
	{http.StatusForbidden, "denied", sprout.Denied, "The token's role is too small, or the token is good for another site.", nil},
	{http.StatusNotFound, "not-found", sprout.NotFound, "What the request names does not exist, or is at a site that the token may not see.", nil},
	{http.StatusNotAcceptable, "not-acceptable", sprout.Invalid, "The header Accept allows none of the media types of the answer.", answers},
	{http.StatusRequestTimeout, "request-timeout", sprout.Unavailable, "The body did not arrive in time.", takesBody},
	{http.StatusConflict, "conflict", sprout.Conflict, "It is not possible in the state that things are in, or a request with the same Idempotency-Key still runs (Retry-After says when to ask again).", nil},
	{http.StatusPreconditionFailed, "precondition-failed", sprout.Conflict, "The resource is not what the entity tag of If-Match says: it has changed since, or is yet to be made.", changes},
	{http.StatusRequestEntityTooLarge, "too-large", sprout.Invalid, "The body is too large.", takesBody},
	{http.StatusRequestURITooLong, "path-too-long", sprout.Invalid, "The path with its query is longer than 8 KiB.", nil},
	{http.StatusUnsupportedMediaType, "unsupported-media-type", sprout.Invalid, "The body is of another media type than the operation takes.", takesBody},
	{http.StatusUnprocessableEntity, "invalid", sprout.Invalid, "A parameter or a field is unknown, missing or wrong: the problem names it.", nil},
	{http.StatusTooManyRequests, "too-many-requests", sprout.Unavailable, "The token asks more often than it may; Retry-After says when to ask again.", nil},
	{http.StatusRequestHeaderFieldsTooLarge, "headers-too-large", sprout.Invalid, "The headers are longer than 32 KiB.", nil},
	{http.StatusInternalServerError, "internal", sprout.Internal, "A defect of Sprout: its log tells more under the id of the request.", nil},
	{http.StatusServiceUnavailable, "unavailable", sprout.Unavailable, "Something that is needed cannot be reached now: ask again later.", nil},
}

// edgeRefusals are those of requests that reach no operation, and contentRefusals
// those of operations that answer with bytes.
var (
	edgeRefusals = []refusal{
		{http.StatusMethodNotAllowed, "method-not-allowed", sprout.NotFound, "The path exists, but not with this method: the header Allow lists those that it has.", nil},
	}
	contentRefusals = []refusal{
		{http.StatusRequestedRangeNotSatisfiable, "range-not-satisfiable", sprout.Invalid, "The header Range asks for bytes that the content does not have.", nil},
	}
)

func takesBody(s Spec) bool  { return s.Body || s.Upload }
func needsToken(s Spec) bool { return s.Role != Public }
func answers(s Spec) bool    { return s.Status != http.StatusNoContent }
func changes(s Spec) bool    { return s.Method != http.MethodGet }
func changesOne(s Spec) bool { return changes(s) && s.Resource() != "" }

// Resource is the name of the path's last parameter: the noun of the one thing
// that an operation is about. "" where it is about none that exists. A range is a
// part of its subnet.
func (s Spec) Resource() string {
	path := strings.TrimSuffix(s.Path, "/{range}")
	at := strings.LastIndex(path, "{")
	name, _, _ := strings.Cut(path[at+1:], "}")
	if at < 0 {
		return ""
	}
	return name
}

// refusalsOf lists what an operation may be refused with.
func refusalsOf(s Spec) (list []refusal) {
	for _, r := range refusals {
		if r.Of == nil || r.Of(s) {
			list = append(list, r)
		}
	}
	return list
}

// KindOfStatus is the kind of a status, also of those that only a proxy makes.
func KindOfStatus(status int) sprout.Kind {
	if t, ok := errorOfStatus(status); ok {
		return t.Kind
	}
	switch {
	case status == http.StatusBadGateway || status == http.StatusGatewayTimeout:
		return sprout.Unavailable
	case status >= http.StatusInternalServerError:
		return sprout.Internal
	}
	return sprout.Invalid
}
