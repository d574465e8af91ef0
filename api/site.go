package api

import "sprout"

// SiteRef names a site by id, name or unique prefix.
type SiteRef struct {
	Site string `path:"site" doc:"Id, name or unique prefix of a site"`
}

// OfSite narrows a list to one site.
type OfSite struct {
	Site string `query:"site" doc:"Only of this site: id, name or unique prefix"`
}

// ListOfSite is the input of lists that may be narrowed to a site.
type ListOfSite struct {
	OfSite
	Paging
}

// ListSites says which part of the sites is asked for.
type ListSites struct {
	Paging
	Sort string `query:"sort" enum:"name,-name,created,-created" doc:"Order; a hyphen sorts backwards; empty: name"`
}

// CreateSite is the input of SiteCreate.
type CreateSite struct {
	Body struct {
		Name   string `json:"name" doc:"Unique, a DNS label" example:"lon1"`
		Domain string `json:"domain,omitempty" doc:"Domain of the machines' names; empty: NAME.internal" example:"lon1.example"`
	}
}

// A SiteReport is a site with its agent.
type SiteReport struct {
	sprout.Site
	Agent *sprout.Agent `json:"agent,omitempty" doc:"Its agent; absent: none has enrolled"`
}

// Revision is the part of the entity tag that If-Match compares: a site's agent is
// not part of it.
func (r SiteReport) Revision() string { return string(r.ID) }

// The operations on sites.
var (
	SiteCreate = Op[CreateSite, sprout.Site]{
		Name: "site create", Method: "POST", Path: "/v1/sites", Role: sprout.Admin, Status: 201, Wide: true, Help: "Create a site.",
	}
	SiteList = Op[ListSites, Page[sprout.Site]]{
		Name: "site list", Method: "GET", Path: "/v1/sites", Role: sprout.Viewer, Help: "List the sites.",
	}
	SiteShow = Op[SiteRef, SiteReport]{
		Name: "site show", Method: "GET", Path: "/v1/sites/{site}", Role: sprout.Viewer, Help: "Show a site, and how its agent does.",
	}
	SiteDelete = Op[SiteRef, None]{
		Name: "site delete", Method: "DELETE", Path: "/v1/sites/{site}", Role: sprout.Admin, Help: "Delete a site that holds nothing.",
	}
)

func siteOperations() []Operation {
	return []Operation{of(SiteCreate), of(SiteList), of(SiteShow), of(SiteDelete)}
}
