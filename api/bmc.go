package api

import "sprout"

// CrawlBMCs is the input of BMCCrawl.
type CrawlBMCs struct {
	Body struct {
		Site      string   `json:"site" doc:"Id, name or unique prefix of a site: its agent looks" example:"lon1"`
		Addresses []string `json:"addresses" minItems:"1" maxItems:"4096" doc:"Addresses, ranges and prefixes, 4096 addresses together at most; of an IPv4 prefix not the first and last address" example:"[\"10.0.5.0/24\",\"10.0.6.7\"]"`
		After     string   `json:"after,omitempty" maxLength:"45" doc:"Go on after this address, as next of the answer before says; absent: from the first on" example:"10.0.5.32"`

		Username string `json:"username,omitempty" maxLength:"256" doc:"Account at the BMCs; without one and without a rule they are found, and not read" example:"root"`
		Password string `json:"password,omitempty" writeOnly:"true" maxLength:"256" doc:"Its password; it is sealed to the site's agent" example:"secret"`
		Rule     string `json:"rule,omitempty" maxLength:"63" doc:"Name of a rule of acceptance whose BMC's account is used instead; who asks must be an administrator of all sites" example:"lab-r650"`
		Insecure bool   `json:"insecure,omitempty" doc:"Show the credentials to a BMC whatever its TLS certificate" example:"true"`
		Redfish  string `json:"redfish,omitempty" maxLength:"256" doc:"Where Redfish is looked for; absent: https://{address}; none: nowhere" example:"https://{address}:8443"`
		IPMI     string `json:"ipmi,omitempty" maxLength:"256" doc:"Where IPMI is looked for; absent: ipmi://{address}; none: nowhere" example:"ipmi://{address}:6230"`

		Accept      bool   `json:"accept,omitempty" doc:"Register the new ones as machines" example:"true"`
		MachineName string `json:"machineName,omitempty" maxLength:"200" doc:"What they are called, with {serial}, {mac}, {uuid}, {model} and {site} filled in; absent: new-{serial}, or new-{mac} where a system tells no serial number of its own" example:"r650-{serial}"`
		Plan        bool   `json:"plan,omitempty" doc:"With accept: look, and register nothing. Without: only say how many addresses there are, and ask no BMC anything" example:"true"`
	}
}

// A Crawl is what came of the addresses that one request looked at: as many as can be
// answered soon.
type Crawl struct {
	Items []sprout.FoundBMC `json:"items" doc:"What is at each address that was looked at, in the order in which they were asked for"`
	Next  string            `json:"next,omitempty" doc:"What to give as after, to go on; absent: every address was looked at" example:"10.0.5.32"`
	Done  int               `json:"done" doc:"How many addresses were looked at so far, those before after included" example:"32"`
	Total int               `json:"total" doc:"How many addresses there are" example:"254"`
}

// The operation on BMCs.
var BMCCrawl = Op[CrawlBMCs, Crawl]{
	Name: "bmc crawl", Method: "POST", Path: "/v1/bmcs/crawl", Role: sprout.Operator, Many: true,
	Help: "Look for BMCs at addresses, and register the machines behind them.",
}

func bmcOperations() []Operation { return []Operation{of(BMCCrawl)} }
