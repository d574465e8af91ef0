package api

import (
	"time"

	"sprout"
)

// An AuditFilter narrows the audit.
type AuditFilter struct {
	Subject string           `query:"subject" doc:"Only of what has this id or name"`
	Actor   string           `query:"actor" doc:"Only by the token or agent of this name"`
	Action  string           `query:"action" doc:"Only this operation or step" example:"machine deploy"`
	Outcome string           `query:"outcome" enum:"done,refused,failed"`
	Kind    sprout.AuditKind `query:"kind" enum:"request,workflow,system"`
	Since   time.Time        `query:"since" doc:"Only at or after this time"`
	Until   time.Time        `query:"until" doc:"Only before this time"`
}

// ListAudit narrows a list of the audit.
type ListAudit struct {
	Paging
	AuditFilter
	Sort string `query:"sort" enum:"created,-created" doc:"Order; a hyphen sorts backwards; empty: -created"`
}

// ExportAudit narrows an export of the audit.
type ExportAudit struct {
	AuditFilter
	After int64 `query:"after" minimum:"0" doc:"Only records after this one"`
}

// An AuditEnd is the last line of an export: without it the export is not whole.
type AuditEnd struct {
	End     bool              `json:"end"`
	Records int64             `json:"records" doc:"How many lines came before this one"`
	Last    int64             `json:"last" doc:"The next export goes on after this number"`
	Part    bool              `json:"part,omitempty" doc:"Only some of the records were asked for, or may be seen: nothing proves that these are all of them"`
	After   int64             `json:"after,omitempty" doc:"The record after which it begins, where that is not the first"`
	Hash    string            `json:"hash,omitempty" doc:"The hash of that record, which the next one follows; for tokens of every site"`
	Head    *sprout.AuditHead `json:"head,omitempty" doc:"The chain's signed end; for tokens of every site"`
}

// AuditRef names a record.
type AuditRef struct {
	Seq int64 `path:"record" minimum:"1" doc:"Number of a record"`
}

// VerifyAudit is the input of AuditVerify.
type VerifyAudit struct {
	Head string `query:"head" doc:"RECORDS:HASH of a head that was kept elsewhere: the chain must still hold it"`
}

// An AuditCheck is what came of following the chain of hashes.
type AuditCheck struct {
	Records int64            `json:"records" doc:"How many were found good"`
	Intact  bool             `json:"intact"`
	BadSeq  int64            `json:"badSeq,omitempty" doc:"The first record that does not fit or is missing; none where records only wait to be sealed"`
	Reason  string           `json:"reason,omitempty"`
	Head    sprout.AuditHead `json:"head" doc:"The chain's signed end: keep it elsewhere"`
}

// The operations on the audit.
var (
	AuditList = Op[ListAudit, Page[sprout.AuditRecord]]{
		Name: "audit list", Method: "GET", Path: "/v1/audit", Role: sprout.Viewer, Help: "List who asked for what, and what came of it, the newest first.",
	}
	AuditShow = Op[AuditRef, sprout.AuditRecord]{
		Name: "audit show", Method: "GET", Path: "/v1/audit/{record}", Role: sprout.Viewer, Help: "Show one record of the audit, with what it changed.",
	}
	AuditExport = Op[ExportAudit, Lines]{
		Name: "audit export", Method: "GET", Path: "/v1/audit/export", Role: sprout.Viewer, Help: "Export the audit, a line of JSON each record.",
	}
	AuditVerify = Op[VerifyAudit, AuditCheck]{
		Name: "audit verify", Method: "GET", Path: "/v1/audit/verify", Role: sprout.Admin, Wide: true, Help: "Follow the audit's chain of hashes up to its signed head.",
	}
)

func auditOperations() []Operation {
	return []Operation{of(AuditList), of(AuditShow), of(AuditExport), of(AuditVerify)}
}
