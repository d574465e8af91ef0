package bus

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"sprout"
)

// Keys are the seeds by which NATS trusts Sprout. They are made once for an
// installation; who has them may do anything on the bus, so the control plane
// stores them sealed.
type Keys struct {
	Operator string `json:"operator"` // signs accounts
	Account  string `json:"account"`  // the centre's: it has the streams, and signs the centre's users
	Sites    string `json:"sites"`    // the sites': it has nothing but ways into the centre's, and signs agents
	System   string `json:"system"`   // of NATS itself: monitoring and account updates
}

// NewKeys makes the keys of a new installation.
func NewKeys() (Keys, error) {
	var k Keys
	for _, want := range []struct {
		seed *string
		make func() (nkeys.KeyPair, error)
	}{
		{&k.Operator, nkeys.CreateOperator},
		{&k.Account, nkeys.CreateAccount},
		{&k.Sites, nkeys.CreateAccount},
		{&k.System, nkeys.CreateAccount},
	} {
		pair, err := want.make()
		if err != nil {
			return Keys{}, fmt.Errorf("cannot make bus keys: %w", err)
		}
		seed, err := pair.Seed()
		if err != nil {
			return Keys{}, fmt.Errorf("cannot make bus keys: %w", err)
		}
		*want.seed = string(seed)
	}
	return k, nil
}

// key is one of the Keys, opened.
type key struct {
	pair   nkeys.KeyPair
	public string
}

func openKey(name, seed string) (key, error) {
	pair, err := nkeys.FromSeed([]byte(seed))
	if err != nil {
		return key{}, fmt.Errorf("cannot read the bus's %s key: %w", name, err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		return key{}, fmt.Errorf("cannot read the bus's %s key: %w", name, err)
	}
	return key{pair, public}, nil
}

// UserJWT returns the credential of a site's agent: good for its own site, to
// send its own facts, for the bearer of the seed of userPublicKey (an NKey user key, U…), until it is
// revoked. What it allows is what the functions of Site do, and nothing else;
// in particular an agent can neither make nor look at consumers and streams.
func (k Keys) UserJWT(site sprout.SiteID, agent sprout.AgentID, userPublicKey string) (string, error) {
	if err := errors.Join(checkSite(site), checkAgent(agent)); err != nil {
		return "", err
	}
	if !nkeys.IsValidPublicUserKey(userPublicKey) {
		return "", sprout.InvalidField("publicKey", "cannot use %q: it must be an NKey user key (U…)", userPublicKey)
	}
	claims := jwt.NewUserClaims(userPublicKey)
	claims.Name = string(site)
	claims.AllowedConnectionTypes = jwt.StringList{jwt.ConnectionTypeStandard}
	claims.Pub.Allow.Add(
		factSubject(site, agent),
		subject(liveSubject, site),
		subject(beatSubject, site),
		nextSubject(site),
		"$JS.ACK."+downStream+"."+string(site)+".>",
	)
	claims.Sub.Allow.Add(inboxPrefix(site) + ".>")
	return signUser(claims, "sites", k.Sites)
}

// centreUser returns a JWT and its seed, for one connection of the centre.
func (k Keys) centreUser() (token, seed string, err error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return "", "", fmt.Errorf("cannot make the centre's bus user: %w", err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		return "", "", fmt.Errorf("cannot make the centre's bus user: %w", err)
	}
	raw, err := pair.Seed()
	if err != nil {
		return "", "", fmt.Errorf("cannot make the centre's bus user: %w", err)
	}
	claims := jwt.NewUserClaims(public)
	claims.Name = "centre"
	token, err = signUser(claims, "account", k.Account)
	return token, string(raw), err
}

func signUser(claims *jwt.UserClaims, name, seed string) (string, error) {
	account, err := openKey(name, seed)
	if err != nil {
		return "", err
	}
	token, err := claims.Encode(account.pair)
	if err != nil {
		return "", fmt.Errorf("cannot sign a bus user: %w", err)
	}
	return token, nil
}

// OperatorJWT returns the operator's own claim, for the configuration of a
// cluster that trusts it.
func (k Keys) OperatorJWT() (string, error) {
	operator, err := openKey("operator", k.Operator)
	if err != nil {
		return "", err
	}
	system, err := openKey("system", k.System)
	if err != nil {
		return "", err
	}
	claims := jwt.NewOperatorClaims(operator.public)
	claims.Name = "sprout"
	claims.SystemAccount = system.public
	return encode(claims, operator)
}

// ways are the only paths from the sites' account into the centre's. NATS checks
// what an agent publishes and subscribes to, but not the reply subject that it
// names: were the streams in its own account, it could have JetStream send a
// reply that JetStream itself takes for a request to delete a stream.
var ways = []struct {
	subject  jwt.Subject
	response jwt.ResponseType
}{
	{upStream + ".*.*", jwt.ResponseTypeSingleton},
	{liveSubject + ".*", jwt.ResponseTypeSingleton},
	{beatSubject + ".*", jwt.ResponseTypeSingleton},
	{"$JS.API.CONSUMER.MSG.NEXT." + downStream + ".*", jwt.ResponseTypeStream},
	{"$JS.ACK." + downStream + ".>", jwt.ResponseTypeSingleton},
}

// AccountJWTs returns the claims of the accounts, for a cluster's resolver: the
// centre's, the sites', and that of NATS itself. Users whose public keys are in
// revoked may not connect with a credential that was made before now.
func (k Keys) AccountJWTs(revoked ...string) ([]string, error) {
	operator, err := openKey("operator", k.Operator)
	if err != nil {
		return nil, err
	}
	account, err := openKey("account", k.Account)
	if err != nil {
		return nil, err
	}
	sites, err := openKey("sites", k.Sites)
	if err != nil {
		return nil, err
	}
	system, err := openKey("system", k.System)
	if err != nil {
		return nil, err
	}
	var tokens []string
	for _, claims := range []*jwt.AccountClaims{
		centreAccount(account.public), sitesAccount(sites.public, account.public, revoked), systemAccount(system.public),
	} {
		token, err := encode(claims, operator)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, token)
	}
	return tokens, nil
}

func centreAccount(public string) *jwt.AccountClaims {
	claims := jwt.NewAccountClaims(public)
	claims.Name = "sprout"
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: 2, Consumer: jwt.NoLimit,
	}
	for _, way := range ways {
		claims.Exports.Add(&jwt.Export{Name: string(way.subject), Subject: way.subject, Type: jwt.Service, ResponseType: way.response})
	}
	claims.Exports.Add(&jwt.Export{Name: askSubject, Subject: askSubject + ".*", Type: jwt.Stream})
	return claims
}

func sitesAccount(public, centre string, revoked []string) *jwt.AccountClaims {
	claims := jwt.NewAccountClaims(public)
	claims.Name = "sites"
	for _, way := range ways {
		claims.Imports.Add(&jwt.Import{Name: string(way.subject), Subject: way.subject, Account: centre, Type: jwt.Service})
	}
	// What the centre asks reaches the inbox of the site's agent, which it may read.
	claims.Imports.Add(&jwt.Import{Name: askSubject, Subject: askSubject + ".*", LocalSubject: "$1." + askSubject, Account: centre, Type: jwt.Stream})
	for _, user := range revoked {
		claims.RevokeAt(user, time.Now())
	}
	return claims
}

func systemAccount(public string) *jwt.AccountClaims {
	claims := jwt.NewAccountClaims(public)
	claims.Name = "system"
	return claims
}

func encode(claims jwt.Claims, signer key) (string, error) {
	token, err := claims.Encode(signer.pair)
	if err != nil {
		return "", fmt.Errorf("cannot sign a bus claim: %w", err)
	}
	return token, nil
}
