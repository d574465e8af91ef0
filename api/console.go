package api

import (
	"net/http"

	"sprout"
)

// OpenConsole says how a machine's console is opened.
type OpenConsole struct {
	MachineRef
	Type bool `query:"type" doc:"To type too, as one alone may: it needs the role operator, and is refused while another types" example:"false"`
	For  int  `query:"for" minimum:"0" maximum:"86400" doc:"Seconds after which the stream ends; 0: it does not by itself" example:"60"`
}

// TypeConsole is the input of MachineConsoleType.
type TypeConsole struct {
	MachineRef
	Body struct {
		View string `json:"view" minLength:"1" maxLength:"64" doc:"As the stream's first event names it" example:"sprout-secret"`
		At   int64  `json:"at" minimum:"0" doc:"How many bytes were typed before: what arrives twice is typed once" example:"12"`
		Keys []byte `json:"keys" minLength:"1" maxLength:"5464" doc:"Bytes as the machine is to read them, at most 4096" example:"cm9vdA0="`
	}
}

// Typed is what came of keys.
type Typed struct {
	Typed int64 `json:"typed" doc:"How many bytes were typed in all" example:"17"`
}

// A Console is the Out of an operation that answers with server-sent events (HTML
// standard, section 9.2), each of whose data is a ConsoleEvent.
type Console struct {
	Serve func(w http.ResponseWriter, r *http.Request)
}

// The operations on a machine's serial console.
var (
	MachineConsole = Op[OpenConsole, Console]{
		Name: "machine console", Method: "GET", Path: "/v1/machines/{machine}/console", Role: sprout.Viewer,
		Help: "Show what a machine's serial console says, as server-sent events, and open it for typing.",
	}
	MachineConsoleType = Op[TypeConsole, Typed]{
		Name: "machine console type", Method: "PUT", Path: "/v1/machines/{machine}/console/keys", Role: sprout.Operator,
		Help: "Type at a machine's serial console, by whoever has it open for that.",
	}
)

func consoleOperations() []Operation { return []Operation{of(MachineConsole), of(MachineConsoleType)} }
