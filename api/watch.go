package api

import (
	"net/http"

	"sprout"
)

// WatchEvents narrows what is watched.
type WatchEvents struct {
	OfSite
	Machine     string        `query:"machine" doc:"Only of this machine: id, name, site/name or unique prefix"`
	Noun        []sprout.Noun `query:"noun" enum:"site,agent,machine,network,image,workflow,problem,boot,allocation" doc:"Only of these kinds, separated by commas"`
	Subject     string        `query:"subject" doc:"Only of the thing with this id"`
	Resource    bool          `query:"resource" doc:"Each event carries its subject as it is now, and running work tells its progress"`
	For         int           `query:"for" minimum:"0" maximum:"86400" doc:"Seconds after which the stream ends; 0: it does not by itself"`
	LastEventID string        `header:"Last-Event-ID" doc:"Id of the last event that was seen: whatever happened since then is sent first"`
}

// A Stream is the Out of an operation that answers with server-sent events
// (HTML standard, section 9.2), each of whose data is a JSON object.
type Stream struct {
	Serve func(w http.ResponseWriter, r *http.Request)
}

// EventWatch streams what changes.
var EventWatch = Op[WatchEvents, Stream]{
	Name: "events", Method: "GET", Path: "/v1/events", Role: sprout.Viewer,
	Help: "Watch what changes, as server-sent events that go on where a connection broke.",
}

func watchOperations() []Operation { return []Operation{of(EventWatch)} }
