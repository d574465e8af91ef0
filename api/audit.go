package api

import "sprout"

// ListAudit narrows the audit.
type ListAudit struct {
	Paging
	Subject string `query:"subject" doc:"Only of what has this id or name"`
}

// An AuditCheck is what came of following the chain of hashes.
type AuditCheck struct {
	Records int64  `json:"records" doc:"How many were checked"`
	Intact  bool   `json:"intact"`
	BadSeq  int64  `json:"badSeq,omitempty" doc:"The first record that does not fit"`
	Reason  string `json:"reason,omitempty"`
}

// The operations on the audit.
var (
	AuditList = Op[ListAudit, Page[sprout.AuditRecord]]{
		Name: "audit list", Method: "GET", Path: "/v1/audit", Role: sprout.Viewer, Help: "List who asked for what, and what came of it, the newest first.",
	}
	AuditVerify = Op[struct{}, AuditCheck]{
		Name: "audit verify", Method: "GET", Path: "/v1/audit/verify", Role: sprout.Admin, Wide: true, Help: "Follow the audit's chain of hashes.",
	}
)

func auditOperations() []Operation { return []Operation{AuditList, AuditVerify} }
