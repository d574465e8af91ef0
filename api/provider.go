package api

import "sprout"

// A Provider is one way to have a capability.
type Provider struct {
	Capability  string `json:"capability" example:"dns"`
	Name        string `json:"name" example:"builtin"`
	Description string `json:"description"`
	Selected    bool   `json:"selected"`
	Selectable  bool   `json:"selectable"`
	Why         string `json:"why,omitempty" doc:"Why it cannot be selected"`
}

// ProviderList lists the providers.
var ProviderList = Op[Paging, Page[Provider]]{
	Name: "provider list", Method: "GET", Path: "/v1/providers", Role: sprout.Viewer, Help: "List the providers of every capability.",
}

func providerOperations() []Operation { return []Operation{of(ProviderList)} }
