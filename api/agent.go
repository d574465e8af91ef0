package api

import (
	"time"

	"sprout"
)

// AgentRef names an agent by id, name or unique prefix.
type AgentRef struct {
	Agent string `path:"agent" doc:"Id, name or unique prefix of an agent"`
}

// CreateAgentToken is the input of AgentTokenCreate.
type CreateAgentToken struct {
	Body struct {
		Site   string `json:"site" doc:"Site that the agent will serve: id, name or unique prefix"`
		Expiry int    `json:"expirySeconds,omitempty" minimum:"60" maximum:"604800" doc:"Seconds until it expires; 0: one hour"`
	}
}

// An AgentToken lets one agent enrol, once. Its secret is shown this one time.
type AgentToken struct {
	Secret    string        `json:"secret"`
	Site      sprout.SiteID `json:"site"`
	SiteName  string        `json:"siteName"`
	ExpiresAt time.Time     `json:"expiresAt"`
}

// EnrolAgent is the input of AgentEnrol.
type EnrolAgent struct {
	Body struct {
		Token     string `json:"token" doc:"Secret of an agent token: up to the dot, behind which is the fingerprint of the authority to trust"`
		Name      string `json:"name" doc:"Host name of the agent"`
		Version   string `json:"version"`
		Protocol  int    `json:"protocol,omitempty" minimum:"0" doc:"Version of the protocol that it speaks with the control plane"`
		PublicKey string `json:"publicKey" doc:"NKey user key (U…); the seed stays with the agent"`
		SealKey   string `json:"sealKey" doc:"NKey curve key (X…) to seal secrets to"`
		Address   string `json:"address,omitempty" doc:"Its IP address on the provisioning network"`
	}
}

// An Enrolment is all that an agent needs to begin.
type Enrolment struct {
	Agent sprout.Agent `json:"agent"`
	Site  sprout.Site  `json:"site"`
	Bus   BusAccess    `json:"bus"`
	After int64        `json:"after" doc:"Number of the last change that the agent does not need: its store counts from there"`
	Token string       `json:"token" doc:"Bearer for fetching images"`
	CA    string       `json:"ca,omitempty" doc:"Certificate (PEM) of the authority by which to trust the API; empty: what the system trusts"`
}

// BusAccess is how an agent connects to the bus. It proves itself by its own
// key; the JWT says what that key may do.
type BusAccess struct {
	URL string `json:"url" example:"nats://centre:4222"`
	JWT string `json:"jwt"`
	CA  string `json:"ca,omitempty" doc:"Certificate (PEM) of the authority by which to trust the bus; empty: what the URL and the system say"`
}

// The operations on agents.
var (
	AgentList = Op[ListOfSite, Page[sprout.Agent]]{
		Name: "agent list", Method: "GET", Path: "/v1/agents", Role: sprout.Viewer, Help: "List the agents and how far they are.",
	}
	AgentShow = Op[AgentRef, sprout.Agent]{
		Name: "agent show", Method: "GET", Path: "/v1/agents/{agent}", Role: sprout.Viewer, Help: "Show an agent.",
	}
	AgentDelete = Op[AgentRef, None]{
		Name: "agent delete", Method: "DELETE", Path: "/v1/agents/{agent}", Role: sprout.Admin, Help: "Delete an agent and revoke its credentials.",
	}
	AgentTokenCreate = Op[CreateAgentToken, AgentToken]{
		Name: "agent token create", Method: "POST", Path: "/v1/agents/tokens", Role: sprout.Admin, Status: 201, Help: "Create a single-use token by which an agent enrols.",
	}
	AgentEnrol = Op[EnrolAgent, Enrolment]{
		Name: "agent enrol", Method: "POST", Path: "/v1/agents/enrol", Role: Public, Status: 201, Help: "Enrol an agent with its single-use token; the same request again is answered the same.",
	}
)

func agentOperations() []Operation {
	return []Operation{of(AgentList), of(AgentShow), of(AgentDelete), of(AgentTokenCreate), of(AgentEnrol)}
}
