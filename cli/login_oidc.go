package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"sprout"
	"sprout/api"
	"sprout/client"
)

// byProvider tells whether the user logs in at the OpenID provider that the
// control plane names: where --oidc asks for it, or the provider is offered and
// no token is at hand.
func (l *login) byProvider(ctx context.Context, c *client.Client, server string) (*api.OIDCOffer, error) {
	given := l.tokenFile != "" || cmp.Or(l.token, l.getenv("SPROUT_TOKEN")) != ""
	if !l.oidc && given {
		return nil, nil
	}
	offer, err := client.Call(ctx, c, api.LoginShow, struct{}{})
	if sprout.KindOf(err) == sprout.NotFound && err != nil { // a control plane of before
		offer, err = api.LoginOffer{}, nil
	}
	if err != nil {
		return nil, err
	}
	if l.oidc && offer.OIDC == nil {
		return nil, sprout.InvalidField("--oidc", "%s knows no OpenID provider", server).WithRemedy("sprout login %s --token-file FILE", server)
	}
	return offer.OIDC, nil
}

// atProvider runs the device flow (RFC 8628): the person logs in at the provider
// with a browser, wherever that is, and the control plane is shown the id token
// that comes of it. Returns the token that the control plane gives for that.
func (l *login) atProvider(ctx context.Context, c *client.Client, offer api.OIDCOffer) (string, error) {
	ctx = oidc.ClientContext(ctx, &http.Client{Timeout: 30 * time.Second})
	provider, err := oidc.NewProvider(ctx, offer.Issuer)
	if err != nil {
		return "", sprout.Errorf(sprout.Unavailable, "cannot log in: the OpenID provider %s does not answer: %w", offer.Issuer, err)
	}
	flow := oauth2.Config{ClientID: offer.Client, Endpoint: provider.Endpoint(), Scopes: offer.Scopes}
	flow.Endpoint.AuthStyle = oauth2.AuthStyleInParams // a public client has no secret to show
	if flow.Endpoint.DeviceAuthURL == "" {
		return "", sprout.Errorf(sprout.Unavailable, "cannot log in: the OpenID provider %s has no device flow", offer.Issuer).WithRemedy("sprout login URL --token-file FILE")
	}
	asked, err := flow.DeviceAuth(ctx)
	if err != nil {
		return "", deviceError(offer, err)
	}
	l.showCode(asked)
	given, err := flow.DeviceAccessToken(ctx, asked)
	if err != nil {
		return "", deviceError(offer, err)
	}
	var in api.CreateLogin
	in.Body.IDToken, _ = given.Extra("id_token").(string)
	if in.Body.IDToken == "" {
		return "", sprout.Errorf(sprout.Unavailable, "cannot log in: the OpenID provider %s gave no id token", offer.Issuer).WithRemedy("oidc.scopes in the server's configuration: openid must be one of them")
	}
	made, err := client.Call(ctx, c, api.LoginCreate, in)
	return made.Secret, err
}

// showCode tells where to log in.
func (l *login) showCode(asked *oauth2.DeviceAuthResponse) {
	fmt.Fprintf(l.stderr, "open %s\nand enter the code %s", asked.VerificationURI, asked.UserCode)
	if asked.VerificationURIComplete != "" {
		fmt.Fprintf(l.stderr, ", or open\n%s\nand compare the code", asked.VerificationURIComplete)
	}
	fmt.Fprintln(l.stderr)
	if !asked.Expiry.IsZero() {
		fmt.Fprintf(l.stderr, "waiting until %s\n", asked.Expiry.Local().Format("15:04:05"))
	}
}

// deviceError says why the device flow ended (RFC 8628, section 3.5).
func deviceError(offer api.OIDCOffer, err error) error {
	var told *oauth2.RetrieveError
	var unreached *url.Error
	again := "sprout login URL --oidc"
	switch {
	case errors.As(err, &told) && told.ErrorCode == "access_denied":
		return sprout.Errorf(sprout.Denied, "cannot log in: it was refused at %s", offer.Issuer).WithRemedy("%s", again)
	case errors.As(err, &told) && told.ErrorCode == "expired_token", errors.Is(err, context.DeadlineExceeded):
		return sprout.Errorf(sprout.Unavailable, "cannot log in: nobody entered the code at %s in time", offer.Issuer).WithRemedy("%s", again)
	case errors.As(err, &told):
		return sprout.Errorf(sprout.Denied, "cannot log in: %s says %s", offer.Issuer, cmp.Or(told.ErrorDescription, told.ErrorCode, told.Error())).
			WithRemedy("oidc.client of the server must be a public client there that has the device flow")
	case errors.As(err, &unreached):
		return sprout.Errorf(sprout.Unavailable, "cannot log in: the OpenID provider %s does not answer: %w", offer.Issuer, unreached.Err)
	}
	return err
}
