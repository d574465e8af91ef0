package api

import "sprout"

// TokenRef names a token by id, name or unique prefix.
type TokenRef struct {
	Token string `path:"token" doc:"Id, name or unique prefix of a token"`
}

// CreateToken is the input of TokenCreate.
type CreateToken struct {
	Body struct {
		Name   string      `json:"name" minLength:"1" maxLength:"63" doc:"Who will bear it; the audit shows it" example:"ci"`
		Role   sprout.Role `json:"role" enum:"viewer,operator,admin"`
		Sites  []string    `json:"sites,omitempty" maxItems:"100" doc:"The only sites that the role holds at: ids, names or unique prefixes; none: every site that its maker is an administrator of"`
		Grants []NewGrant  `json:"grants,omitempty" maxItems:"20" doc:"Further roles at other sites"`
		Expiry int         `json:"expirySeconds,omitempty" minimum:"0" maximum:"315360000" doc:"Seconds until it expires; 0: 90 days"`
		Never  bool        `json:"neverExpires,omitempty" doc:"It does not expire"`
	}
}

// A NewGrant is a role at sites, of a token to be made.
type NewGrant struct {
	Role  sprout.Role `json:"role" enum:"viewer,operator,admin"`
	Sites []string    `json:"sites" minItems:"1" maxItems:"100" doc:"Ids, names or unique prefixes"`
}

// A NewToken is a token with its secret, which is shown this one time.
type NewToken struct {
	sprout.Token
	Secret string `json:"secret"`
}

// The operations on tokens.
var (
	TokenCreate = Op[CreateToken, NewToken]{
		Name: "token create", Method: "POST", Path: "/v1/tokens", Role: sprout.Admin, Status: 201, Help: "Create a bearer token; its secret is shown once.",
	}
	TokenList = Op[Paging, Page[sprout.Token]]{
		Name: "token list", Method: "GET", Path: "/v1/tokens", Role: sprout.Admin, Help: "List the tokens.",
	}
	TokenWhoami = Op[struct{}, sprout.Token]{
		Name: "token whoami", Method: "GET", Path: "/v1/whoami", Role: sprout.AgentRole, Help: "Show the token that asks.",
	}
	TokenRevoke = Op[TokenRef, None]{
		Name: "token revoke", Method: "DELETE", Path: "/v1/tokens/{token}", Role: sprout.Admin, Help: "Revoke a token.",
	}
)

func tokenOperations() []Operation {
	return []Operation{of(TokenCreate), of(TokenList), of(TokenWhoami), of(TokenRevoke)}
}
