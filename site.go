package sprout

import "time"

// A Site is one place with its own provisioning network and one agent.
type Site struct {
	ID        SiteID    `json:"id"`
	Name      string    `json:"name" doc:"Unique, a DNS label" example:"lon1"`
	Domain    string    `json:"domain" doc:"Domain of the machines' names" example:"lon1.example"`
	CreatedAt time.Time `json:"createdAt"`
}

// An Agent is the Sprout process of a site.
type Agent struct {
	ID         AgentID    `json:"id"`
	Site       SiteID     `json:"site"`
	SiteName   string     `json:"siteName"`
	Name       string     `json:"name" doc:"Host name the agent gave at enrolment"`
	Version    string     `json:"version"`
	PublicKey  string     `json:"publicKey" doc:"NKey user key (U…); the seed never leaves the agent"`
	SealKey    string     `json:"sealKey" doc:"NKey curve key (X…) to which secrets for this agent are sealed"`
	Address    string     `json:"address" doc:"IP address of the agent on the provisioning network"`
	Online     bool       `json:"online" doc:"True while heartbeats arrive"`
	LastSeen   *time.Time `json:"lastSeen,omitempty"`
	Applied    int64      `json:"applied" doc:"Last change of the site's state that the agent holds"`
	Wanted     int64      `json:"wanted" doc:"Last change of the site's state that the control plane made"`
	EnrolledAt time.Time  `json:"enrolledAt"`
	// Downloading and Waiting are of the newest heartbeat.
	Downloading int64 `json:"downloading" doc:"Machines of the site that download an image, or whose turn it is" example:"12"`
	Waiting     int64 `json:"waiting" doc:"Machines that wait for their turn to download" example:"30"`
}

// Revision is the part of the entity tag that If-Match compares: an agent is
// never changed, and its heartbeats are no change.
func (a Agent) Revision() string { return string(a.ID) }

// HeartbeatEvery is how often an agent says that it lives; it counts as
// offline after OfflineAfter without a word.
const (
	HeartbeatEvery = 2 * time.Second
	OfflineAfter   = 10 * time.Second
)
