package sprout

import (
	"encoding/json"
	"time"
)

// An AuditKind says what made an audit record.
type AuditKind string

const (
	AuditRequest  AuditKind = "request"  // somebody asked by the API
	AuditWorkflow AuditKind = "workflow" // a workflow that somebody asked for moved
	AuditSystem   AuditKind = "system"   // Sprout did it by itself
)

// An AuditRecord says who asked for what, and what came of it.
type AuditRecord struct {
	Seq     int64         `json:"seq" doc:"Its number: without a gap, in the order of sealing"`
	Site    SiteID        `json:"site,omitempty" doc:"Site of the subject; empty: none"`
	At      time.Time     `json:"at"`
	Kind    AuditKind     `json:"kind,omitempty" enum:"request,workflow,system" doc:"What made it; empty in records of versions before 0.2"`
	Actor   string        `json:"actor" doc:"Token name, agent id, or 'sprout' for its own work; of a workflow's moves who asked for the workflow"`
	Token   TokenID       `json:"token,omitempty" doc:"Id of the token that was shown"`
	Source  string        `json:"source,omitempty" doc:"Address that the request came from" example:"10.0.0.7"`
	Action  string        `json:"action" doc:"Operation or workflow step" example:"machine deploy"`
	Subject string        `json:"subject" doc:"Id of what it was done to"`
	Name    string        `json:"name" doc:"Name of what it was done to"`
	Outcome string        `json:"outcome" enum:"done,refused,failed" doc:"What came of it"`
	Detail  string        `json:"detail,omitempty"`
	Changes []FieldChange `json:"changes,omitempty" doc:"What is different now; of a workflow that begins, what was asked for"`
	Request string        `json:"request,omitempty" doc:"Request id"`
	Hash    string        `json:"hash" doc:"SHA-256 over this record and the hash before it"`
}

// A FieldChange is one field that a change made different. A secret is said to
// have changed and never shown; a long value is an object of its bytes and
// sha256.
type FieldChange struct {
	Field string          `json:"field" example:"bmc.url"`
	From  json.RawMessage `json:"from,omitempty" doc:"Value before; missing: there was none"`
	To    json.RawMessage `json:"to,omitempty" doc:"Value after; missing: there is none"`
}

// An AuditHead is the end of the sealed chain, signed with the control plane's
// key. Kept elsewhere, it proves later what the chain held.
type AuditHead struct {
	Records   int64     `json:"records" doc:"How many records are sealed: the number of the last"`
	Hash      string    `json:"hash" doc:"Hash of the last record"`
	SealedAt  time.Time `json:"sealedAt"`
	Signature []byte    `json:"signature" doc:"Sealed with the control plane's key"`
}
