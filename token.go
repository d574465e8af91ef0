package sprout

import (
	"slices"
	"time"
)

// A Role is what a token's bearer may do. Each includes the one before it.
type Role string

const (
	Viewer   Role = "viewer"   // read
	Operator Role = "operator" // and run machines
	Admin    Role = "admin"    // and manage sites, agents, tokens
	// AgentRole is for a site's agent: fetch images, nothing else.
	AgentRole Role = "agent"
)

// Sites are those that somebody may see, or that a list is restricted to; nil
// is every site, and an empty list none.
type Sites []SiteID

// At returns the sites that are named; every site if none is.
func At(sites ...SiteID) (all Sites) {
	for _, id := range sites {
		if id != "" {
			all = append(all, id)
		}
	}
	return all
}

// Every tells whether no site is left out.
func (s Sites) Every() bool { return s == nil }

// Has tells whether the site is one of them.
func (s Sites) Has(id SiteID) bool { return s.Every() || slices.Contains(s, id) }

// Only returns the one site that they are; "" if they are more, or none.
func (s Sites) Only() SiteID {
	if len(s) == 1 {
		return s[0]
	}
	return ""
}

// A Grant is a role at sites.
type Grant struct {
	Role      Role     `json:"role"`
	Sites     Sites    `json:"sites,omitempty" doc:"The only sites that it holds at; absent: every site"`
	SiteNames []string `json:"siteNames,omitempty" doc:"Their names, in the same order"`
}

// A TokenKind says where a token comes from.
type TokenKind string

const (
	MadeToken  TokenKind = "made"  // by an administrator
	FirstToken TokenKind = "first" // by the first start of the installation, for whoever sets it up
	LoginToken TokenKind = "login" // by a person's login
	AgentToken TokenKind = "agent" // by an agent's enrolment
)

// UsualExpiry is when a token expires whose maker does not say.
const UsualExpiry = 90 * 24 * time.Hour

// A Token is what a bearer shows to the API. Only its hash is stored.
type Token struct {
	ID         TokenID    `json:"id"`
	Name       string     `json:"name"`
	Kind       TokenKind  `json:"kind" enum:"made,first,login,agent" doc:"Where it comes from: an administrator, the first start, a person's login, an agent's enrolment"`
	Role       Role       `json:"role"`
	Sites      Sites      `json:"sites,omitempty" doc:"The only sites that the role holds at; absent: every site"`
	SiteNames  []string   `json:"siteNames,omitempty" doc:"Their names, in the same order"`
	Grants     []Grant    `json:"grants,omitempty" doc:"Further roles at other sites"`
	ExpiresAt  *time.Time `json:"expiresAt,omitempty" doc:"Absent: never"`
	CreatedAt  time.Time  `json:"createdAt"`
	LastUsedAt *time.Time `json:"lastUsedAt,omitempty" doc:"To the minute; absent: never"`
	RevokedAt  *time.Time `json:"revokedAt,omitempty"`
}

// All lists every role of the token, each with its sites.
func (t Token) All() []Grant {
	return append([]Grant{{Role: t.Role, Sites: t.Sites, SiteNames: t.SiteNames}}, t.Grants...)
}
