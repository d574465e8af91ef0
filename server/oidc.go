package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"sprout"
)

// An OIDCConfig says at which OpenID provider people log in, and what its groups
// may do.
type OIDCConfig struct {
	Issuer      string              `json:"issuer" doc:"URL of the provider; empty: people log in with tokens only"`
	Client      string              `json:"client" doc:"Id of the client that Sprout is there: public, with the device flow"`
	Scopes      []string            `json:"scopes" doc:"Scopes to ask for; none: openid, profile, email"`
	NameClaim   string              `json:"nameClaim" doc:"Claim of the id token that names the person; empty: preferred_username"`
	GroupsClaim string              `json:"groupsClaim" doc:"Claim of the id token that lists the person's groups; empty: groups"`
	Hours       int                 `json:"hours" doc:"How long a login lasts; 0: 12"`
	Groups      map[string][]string `json:"groups" doc:"What the members of each group may do: ROLE, or ROLE@SITE,SITE"`
}

// check refuses what nobody could log in by.
func (c OIDCConfig) check() error {
	if c.Issuer == "" {
		if c.Client != "" || len(c.Groups) > 0 {
			return sprout.InvalidField("oidc.issuer", "the URL of an OpenID provider is needed where others of oidc are set")
		}
		return nil
	}
	u, err := url.Parse(c.Issuer)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return sprout.InvalidField("oidc.issuer", "%q is no URL such as https://login.example", c.Issuer)
	case c.Client == "":
		return sprout.InvalidField("oidc.client", "the id of the client that Sprout is at %s is needed", c.Issuer)
	case len(c.Groups) == 0:
		return sprout.InvalidField("oidc.groups", "at least one group is needed: nobody could log in")
	case c.Hours < 0 || c.Hours > 24*365:
		return sprout.InvalidField("oidc.hours", "%d must be 0 to 8760", c.Hours)
	}
	for group, grants := range c.Groups {
		for _, text := range grants {
			if _, err := parseGrant(text); err != nil {
				return sprout.InvalidField("oidc.groups", "group %s: %v", group, err)
			}
		}
	}
	return nil
}

// A namedGrant is a role at sites by their names; none: every site.
type namedGrant struct {
	role  sprout.Role
	sites []string
}

func parseGrant(text string) (g namedGrant, err error) {
	role, sites, some := strings.Cut(text, "@")
	g.role = sprout.Role(role)
	if !slices.Contains([]sprout.Role{sprout.Viewer, sprout.Operator, sprout.Admin}, g.role) {
		return g, errors.New("role " + role + " is not viewer, operator or admin")
	}
	if some {
		g.sites = strings.Split(sites, ",")
	}
	if slices.Contains(g.sites, "") {
		return g, errors.New(text + " is not ROLE@SITE,SITE")
	}
	return g, nil
}

// askIssuer is how long the provider may take for one answer.
const askIssuer = 10 * time.Second

// An issuer is the provider as this replica knows it. It is asked at the first
// login, not at the start: what others run does not keep the server from starting.
type issuer struct {
	config OIDCConfig
	http   *http.Client
	mu     sync.Mutex
	known  *oidc.IDTokenVerifier
}

func newIssuer(c OIDCConfig) *issuer {
	c.NameClaim, c.GroupsClaim, c.Hours = cmp.Or(c.NameClaim, "preferred_username"), cmp.Or(c.GroupsClaim, "groups"), cmp.Or(c.Hours, 12)
	if len(c.Scopes) == 0 {
		c.Scopes = []string{oidc.ScopeOpenID, "profile", "email"}
	}
	return &issuer{config: c, http: &http.Client{Timeout: askIssuer}}
}

// verifier returns what checks id tokens. Only a provider that has answered is kept.
func (i *issuer) verifier(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.known != nil {
		return i.known, nil
	}
	// Its keys are fetched later, for other requests.
	provider, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), i.http), i.config.Issuer)
	if err != nil {
		return nil, i.away(err)
	}
	i.known = provider.Verifier(&oidc.Config{ClientID: i.config.Client})
	return i.known, nil
}

func (i *issuer) away(err error) error {
	return sprout.Errorf(sprout.Unavailable, "cannot log in: the OpenID provider %s does not answer: %v", i.config.Issuer, err).
		WithRemedy("ask again later; tokens that exist are good meanwhile")
}

// A person is who an id token is of.
type person struct {
	name, subject string
	groups        []string
}

// person checks an id token (OpenID Connect Core 1.0, section 3.1.3.7: signature,
// issuer, audience, authorized party, expiry) and reads whose it is. There is no
// nonce to check: the device flow (RFC 8628) has no authentication request that
// could bear one, and so each id token is good for one login.
func (i *issuer) person(ctx context.Context, raw string) (p person, err error) {
	verifier, err := i.verifier(ctx)
	if err != nil {
		return p, err
	}
	token, err := verifier.Verify(ctx, raw)
	var expired *oidc.TokenExpiredError
	switch {
	case errors.As(err, &expired):
		return p, notBy("it expired at %s", expired.Expiry.UTC().Format(time.RFC3339))
	case err != nil && strings.Contains(err.Error(), "fetching keys"): // go-oidc wraps it in words only
		return p, i.away(err)
	case err != nil:
		return p, notBy("%s", strings.TrimPrefix(err.Error(), "oidc: "))
	}
	var claims map[string]json.RawMessage
	if err := token.Claims(&claims); err != nil {
		return p, notBy("its claims cannot be read: %v", err)
	}
	if by := textOf(claims["azp"]); by != "" && by != i.config.Client {
		return p, notBy("it was issued to %q", by)
	}
	p.subject, p.name = token.Subject, cmp.Or(textOf(claims[i.config.NameClaim]), token.Subject)
	if i.config.NameClaim == "email" && string(claims["email_verified"]) == "false" {
		return p, notBy("the address %s is not verified", p.name)
	}
	if p.name == "" || len(p.name) > 254 || strings.ContainsFunc(p.name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return p, notBy("the claim %s names nobody", i.config.NameClaim)
	}
	if json.Unmarshal(claims[i.config.GroupsClaim], &p.groups) != nil {
		if one := textOf(claims[i.config.GroupsClaim]); one != "" {
			p.groups = []string{one}
		}
	}
	return p, nil
}

func textOf(raw json.RawMessage) (text string) {
	_ = json.Unmarshal(raw, &text) // another type is no text
	return text
}

// notBy refuses an id token.
func notBy(why string, args ...any) error {
	e := sprout.Errorf(sprout.Denied, "cannot accept the id token: "+why, args...)
	e.Field = "idToken"
	return e.WithRemedy("sprout login URL --oidc")
}
