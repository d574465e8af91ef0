package api

// A LoginOffer says how people log in.
type LoginOffer struct {
	OIDC *OIDCOffer `json:"oidc,omitempty" doc:"The OpenID provider to log in at; absent: with a token only"`
}

// An OIDCOffer names an OpenID provider. People log in by its device flow (RFC
// 8628), and show the id token that it gives them.
type OIDCOffer struct {
	Issuer string   `json:"issuer" doc:"URL of the provider: its discovery document is below it" example:"https://login.example"`
	Client string   `json:"client" doc:"What Sprout is called there: the client's id" example:"sprout"`
	Scopes []string `json:"scopes" doc:"What to ask for" example:"[\"openid\",\"profile\",\"email\"]"`
}

// CreateLogin is the input of LoginCreate.
type CreateLogin struct {
	Body struct {
		IDToken string `json:"idToken" minLength:"1" maxLength:"32768" doc:"The id token (OpenID Connect Core 1.0, section 2) of the provider; it is good for one login"`
	}
}

// The operations by which people log in.
var (
	LoginShow = Op[struct{}, LoginOffer]{
		Name: "login show", Method: "GET", Path: "/v1/login", Role: Public, Help: "Tell how people log in.",
	}
	LoginCreate = Op[CreateLogin, NewToken]{
		Name: "login create", Method: "POST", Path: "/v1/login", Role: Public, Status: 201,
		Help: "Log a person in: exchange the id token of the OpenID provider for a token that expires.",
	}
)

func loginOperations() []Operation { return []Operation{of(LoginShow), of(LoginCreate)} }
