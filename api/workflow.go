package api

import "sprout"

// WorkflowRef names a workflow by id or unique prefix.
type WorkflowRef struct {
	Workflow string `path:"workflow" doc:"Id or unique prefix of a workflow"`
}

// ListWorkflows narrows a list of workflows.
type ListWorkflows struct {
	OfSite
	Paging
	Machine string                 `query:"machine" doc:"Only of this machine"`
	State   []sprout.WorkflowState `query:"state" enum:"running,unwinding,succeeded,failed,cancelled" maxItems:"5" doc:"Only in one of these states"`
	Kind    string                 `query:"kind" maxLength:"63" doc:"Only of this kind" example:"deploy"`
	Sort    string                 `query:"sort" enum:"created,-created,state,-state" doc:"Order; a hyphen sorts backwards; empty: -created"`
}

// ShowWorkflow is the input of WorkflowShow.
type ShowWorkflow struct {
	WorkflowRef
	After string `query:"after" doc:"Version that is known: answer once it is another, after 25 s at the latest"`
}

// A VersionedWorkflow is a workflow with the version of what it shows.
type VersionedWorkflow struct {
	sprout.Workflow
	Version string `json:"version" doc:"Changes with everything shown here; opaque"`
}

// The operations on workflows.
var (
	WorkflowList = Op[ListWorkflows, Page[sprout.Workflow]]{
		Name: "workflow list", Method: "GET", Path: "/v1/workflows", Role: sprout.Viewer, Help: "List workflows, the newest first.",
	}
	WorkflowShow = Op[ShowWorkflow, VersionedWorkflow]{
		Name: "workflow show", Method: "GET", Path: "/v1/workflows/{workflow}", Role: sprout.Viewer, Help: "Show a workflow, or wait until it changes.",
	}
	WorkflowRetry = Op[WorkflowRef, sprout.Workflow]{
		Name: "workflow retry", Method: "POST", Path: "/v1/workflows/{workflow}/retry", Role: sprout.Operator, Status: 202, Help: "Run a failed or cancelled workflow again, from a clean first step.",
	}
	WorkflowCancel = Op[WorkflowRef, sprout.Workflow]{
		Name: "workflow cancel", Method: "POST", Path: "/v1/workflows/{workflow}/cancel", Role: sprout.Operator, Status: 202, Help: "Stop a workflow and undo what it did.",
	}
)

func workflowOperations() []Operation {
	return []Operation{of(WorkflowList), of(WorkflowShow), of(WorkflowRetry), of(WorkflowCancel)}
}
