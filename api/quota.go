package api

import "sprout"

// QuotaRef names the owner whose quota it is.
type QuotaRef struct {
	Owner string `path:"quota" doc:"Owner of machines, as given when they are allocated"`
}

// SetQuota is the input of QuotaSet.
type SetQuota struct {
	QuotaRef
	Body struct {
		Machines int `json:"machines" minimum:"0" maximum:"1000000" doc:"How many it may have; who has more keeps them" example:"20"`
	}
}

// The operations on quotas. They reach over all sites, as an owner's machines do.
var (
	QuotaSet = Op[SetQuota, sprout.Quota]{
		Name: "quota set", Method: "PUT", Path: "/v1/quotas/{quota}", Role: sprout.Admin, Wide: true, Help: "Set how many machines an owner may have.",
	}
	QuotaList = Op[Paging, Page[sprout.Quota]]{
		Name: "quota list", Method: "GET", Path: "/v1/quotas", Role: sprout.Viewer, Wide: true, Help: "List the owners that have a quota, and what they have of it.",
	}
	QuotaShow = Op[QuotaRef, sprout.Quota]{
		Name: "quota show", Method: "GET", Path: "/v1/quotas/{quota}", Role: sprout.Viewer, Wide: true, Help: "Show an owner's quota, and what it has of it.",
	}
	QuotaDelete = Op[QuotaRef, None]{
		Name: "quota delete", Method: "DELETE", Path: "/v1/quotas/{quota}", Role: sprout.Admin, Wide: true, Help: "Have an owner have any number of machines.",
	}
)

func quotaOperations() []Operation {
	return []Operation{of(QuotaSet), of(QuotaList), of(QuotaShow), of(QuotaDelete)}
}
