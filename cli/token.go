package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func tokenCommand(e *env) *cobra.Command {
	return group("token", "Bearer tokens of the API.", tokenCreateCommand(e), tokenListCommand(e), tokenWhoamiCommand(e), tokenRevokeCommand(e))
}

func tokenCreateCommand(e *env) *cobra.Command {
	var in api.CreateToken
	var role, expires string
	var grants []string
	c := &cobra.Command{
		Use: "create NAME", Short: api.TokenCreate.Help, Args: takes(1, 1, "a name for the bearer"),
		Long: "Create a bearer token; its secret is shown once. It has one role at every site that its maker is an administrator of, or\n" +
			"at those of --site; --grant adds other roles at other sites. It expires after 90 days unless --expires says otherwise.",
		Example: "  sprout token create ci --role operator --site lon1,par1 --expires 30d\n" +
			"  sprout token create night-shift --role viewer --grant operator@lon1 --expires 12h\n" +
			"  sprout token create backup --role viewer --expires never",
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if in.Body.Never = expires == "never"; !in.Body.Never {
				if in.Body.Expiry, err = parseExpiry("--expires", expires); err != nil {
					return err
				}
			}
			if in.Body.Grants, err = parseGrants(grants); err != nil {
				return err
			}
			in.Body.Name, in.Body.Role = args[0], sprout.Role(role)
			made, err := call(c.Context(), e, api.TokenCreate, in)
			if err != nil {
				return err
			}
			return e.answer(made, func() {
				fmt.Fprintln(e.stdout, made.Secret)
				fmt.Fprintf(e.stderr, "this is the token of %s (%s), which expires %s; it is not shown again\n", made.Name, rolesOf(made.Token), expiryOf(made.Token))
			})
		},
	}
	c.Flags().StringVar(&role, "role", string(sprout.Viewer), "viewer, operator or admin")
	c.Flags().StringSliceVar(&in.Body.Sites, "site", nil, "the only sites that the role holds at (default every site)")
	c.Flags().StringArrayVar(&grants, "grant", nil, "a further role at other sites, as operator@lon1,par1; may be repeated")
	c.Flags().StringVar(&expires, "expires", "", "time until it expires, as 30d or 12h, or never (default 90d)")
	return c
}

// parseGrants reads ROLE@SITE,SITE.
func parseGrants(texts []string) (list []api.NewGrant, err error) {
	for _, text := range texts {
		role, sites, ok := strings.Cut(text, "@")
		if !ok || role == "" || sites == "" {
			return nil, sprout.InvalidField("--grant", "%q must be ROLE@SITE, or ROLE@SITE,SITE", text)
		}
		list = append(list, api.NewGrant{Role: sprout.Role(role), Sites: strings.Split(sites, ",")})
	}
	return list, nil
}

// rolesOf writes what a token may do: operator@lon1,par1 viewer.
func rolesOf(t sprout.Token) string {
	var words []string
	for _, g := range t.All() {
		word := string(g.Role)
		if !g.Sites.Every() {
			word += "@" + strings.Join(g.SiteNames, ",")
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func tokenListCommand(e *env) *cobra.Command {
	return listCommand(e, api.TokenList, &api.Paging{}, listing[sprout.Token]{
		Example: "  sprout token list", None: "no tokens",
		Columns: []column[sprout.Token]{
			{Name: "NAME", Value: func(t sprout.Token) string { return t.Name }},
			{Name: "ROLE", Value: rolesOf},
			{Name: "KIND", Value: func(t sprout.Token) string { return string(t.Kind) }},
			{Name: "CREATED", Value: func(t sprout.Token) string { return moment(t.CreatedAt) }},
			{Name: "LAST-USED", Value: func(t sprout.Token) string { return cmp.Or(ago(t.LastUsedAt), "never") }},
			{Name: "EXPIRES", Value: expiryOf},
			{Name: "REVOKED", Value: func(t sprout.Token) string { return ago(t.RevokedAt) }},
			{Name: "ID", Value: func(t sprout.Token) string { return string(t.ID) }, Wide: true},
		},
	})
}

func tokenWhoamiCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: api.TokenWhoami.Help, Args: takes(0, 0, "no arguments"), Example: "  sprout token whoami",
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := call(c.Context(), e, api.TokenWhoami, struct{}{})
			if err != nil {
				return err
			}
			return e.answer(t, func() {
				writeLines(e.stdout, []line{{"Name", t.Name}, {"Kind", tokenKinds[t.Kind]}, {"Role", rolesOf(t)}, {"Expires", expiryOf(t)}})
			})
		},
	}
}

// tokenKinds says where tokens come from.
var tokenKinds = map[sprout.TokenKind]string{
	sprout.MadeToken: "made by an administrator", sprout.FirstToken: "of the installation's first start",
	sprout.LoginToken: "a person's login", sprout.AgentToken: "an agent's",
}

func expiryOf(t sprout.Token) string {
	if t.ExpiresAt == nil {
		return "never"
	}
	return moment(*t.ExpiresAt)
}

func tokenRevokeCommand(e *env) *cobra.Command {
	return ending{
		noun: "token", verb: "revoke", past: "revoked", help: api.TokenRevoke.Help, example: "ci", plan: e.tokenLoss,
		end: func(ctx context.Context, ref string) error {
			_, err := call(ctx, e, api.TokenRevoke, api.TokenRef{Token: ref})
			return err
		},
		gone: func(name string) gone { return gone{Name: name, Revoked: true} },
	}.command(e)
}
