package sprout

import (
	"encoding/json"
	"strings"
	"time"
)

// A Noun is a kind of thing that can be watched.
type Noun string

// The nouns of events.
const (
	NounSite       Noun = "site"
	NounAgent      Noun = "agent"
	NounMachine    Noun = "machine"
	NounNetwork    Noun = "network"
	NounImage      Noun = "image"
	NounWorkflow   Noun = "workflow"
	NounProblem    Noun = "problem"
	NounBoot       Noun = "boot"
	NounAllocation Noun = "allocation"
	NounToken      Noun = "token" // only the control plane itself watches tokens
)

var nouns = map[string]Noun{
	PrefixSite: NounSite, PrefixAgent: NounAgent, PrefixMachine: NounMachine, PrefixNetwork: NounNetwork, PrefixImage: NounImage,
	PrefixWorkflow: NounWorkflow, PrefixProblem: NounProblem, PrefixAttempt: NounBoot, PrefixAllocation: NounAllocation, PrefixToken: NounToken,
}

// NounOf tells of what kind the thing with the id is; "" for none that is watched.
func NounOf(id string) Noun {
	prefix, _, _ := strings.Cut(id, "_")
	return nouns[prefix]
}

// Prefix is that of the ids of a noun; "" of one that is not watched.
func (n Noun) Prefix() string {
	for prefix, noun := range nouns {
		if noun == n {
			return prefix
		}
	}
	return ""
}

// A Happening is what a WatchEvent tells.
type Happening string

// The first three are kept in the log, so that who was away is told of them.
const (
	WasCreated Happening = "created"
	WasChanged Happening = "changed"
	WasDeleted Happening = "deleted"
	Progresses Happening = "progress" // running work is further; the next is told anyway
	Opened     Happening = "open"     // the stream begins: list now, and all that changes later is told
	Reset      Happening = "reset"    // what was missed is no longer known: list again
	Resume     Happening = "resume"   // the stream ends: connect again with the last id
)

// A WatchEvent says that something has changed. Several changes of one
// transaction to one subject are one event.
type WatchEvent struct {
	ID       string          `json:"id,omitempty" doc:"Resume after it: the header Last-Event-ID. Opaque. Progress has none: it is not kept"`
	What     Happening       `json:"what" enum:"created,changed,deleted,progress,open,reset,resume"`
	At       *time.Time      `json:"at,omitempty"`
	Noun     Noun            `json:"noun,omitempty" enum:"site,agent,machine,network,image,workflow,problem,boot,allocation"`
	Subject  string          `json:"subject,omitempty" doc:"Id of what has changed"`
	Name     string          `json:"name,omitempty" doc:"Name of the subject, or of its machine"`
	Site     SiteID          `json:"site,omitempty"`
	SiteName string          `json:"siteName,omitempty"`
	Machine  MachineID       `json:"machine,omitempty" doc:"The machine that it is about"`
	State    string          `json:"state,omitempty" doc:"State that the change moved the subject to, where it did"`
	Resource json.RawMessage `json:"resource,omitempty" doc:"The subject as it is now, if resources were asked for and it still exists"`
	Reason   string          `json:"reason,omitempty" doc:"Why the stream begins anew"`
}
