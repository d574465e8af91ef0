package bus

import (
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
	Account  string `json:"account"`  // signs users of the centre and the sites
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

// UserJWT returns the credential of a site's agent: good for its own site, for
// the bearer of the seed of userPublicKey (an NKey user key, U…), until it is
// revoked. What it allows is what the functions of Site do, and nothing else;
// in particular an agent can neither make nor look at consumers and streams.
func (k Keys) UserJWT(site sprout.SiteID, userPublicKey string) (string, error) {
	if err := checkSite(site); err != nil {
		return "", err
	}
	if !nkeys.IsValidPublicUserKey(userPublicKey) {
		return "", sprout.InvalidField("publicKey", "cannot use %q: it must be an NKey user key (U…)", userPublicKey)
	}
	claims := jwt.NewUserClaims(userPublicKey)
	claims.Name = string(site)
	claims.AllowedConnectionTypes = jwt.StringList{jwt.ConnectionTypeStandard}
	claims.Pub.Allow.Add(
		subject(upStream, site),
		subject(liveSubject, site),
		subject(beatSubject, site),
		nextSubject(site),
		"$JS.ACK."+downStream+"."+string(site)+".>",
	)
	claims.Sub.Allow.Add(inboxPrefix(site) + ".>")
	return k.signUser(claims)
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
	token, err = k.signUser(claims)
	return token, string(raw), err
}

func (k Keys) signUser(claims *jwt.UserClaims) (string, error) {
	account, err := openKey("account", k.Account)
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

// AccountJWT returns the claim of the account in which centre and sites meet.
// Users whose public keys are in revoked may not connect with a credential that
// was made before now.
func (k Keys) AccountJWT(revoked ...string) (string, error) {
	account, err := openKey("account", k.Account)
	if err != nil {
		return "", err
	}
	operator, err := openKey("operator", k.Operator)
	if err != nil {
		return "", err
	}
	claims := jwt.NewAccountClaims(account.public)
	claims.Name = "sprout"
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit,
		Streams: 2, Consumer: jwt.NoLimit,
	}
	for _, user := range revoked {
		claims.RevokeAt(user, time.Now())
	}
	return encode(claims, operator)
}

func (k Keys) systemJWT() (string, error) {
	system, err := openKey("system", k.System)
	if err != nil {
		return "", err
	}
	operator, err := openKey("operator", k.Operator)
	if err != nil {
		return "", err
	}
	claims := jwt.NewAccountClaims(system.public)
	claims.Name = "system"
	return encode(claims, operator)
}

func encode(claims jwt.Claims, signer key) (string, error) {
	token, err := claims.Encode(signer.pair)
	if err != nil {
		return "", fmt.Errorf("cannot sign a bus claim: %w", err)
	}
	return token, nil
}
