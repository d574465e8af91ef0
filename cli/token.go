package cli

import (
	"cmp"
	"fmt"

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
	c := &cobra.Command{
		Use: "create NAME", Short: api.TokenCreate.Help, Args: takes(1, 1, "a name for the bearer"),
		Example: "  sprout token create ci --role operator --expires 90d",
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if in.Body.Expiry, err = parseExpiry("--expires", expires); err != nil {
				return err
			}
			in.Body.Name, in.Body.Role = args[0], sprout.Role(role)
			made, err := call(c.Context(), e, api.TokenCreate, in)
			if err != nil {
				return err
			}
			return e.answer(made, func() {
				fmt.Fprintln(e.stdout, made.Secret)
				fmt.Fprintf(e.stderr, "this is the token of %s (%s); it is not shown again\n", made.Name, made.Role)
			})
		},
	}
	c.Flags().StringVar(&role, "role", string(sprout.Viewer), "viewer, operator or admin")
	c.Flags().StringVar(&in.Body.Site, "site", "", "the only site that it is good for (default every site)")
	c.Flags().StringVar(&expires, "expires", "", "time until it expires, as 90d or 12h (default never)")
	return c
}

func tokenListCommand(e *env) *cobra.Command {
	return listCommand(e, api.TokenList, &api.Paging{}, listing[sprout.Token]{
		Example: "  sprout token list", None: "no tokens",
		Columns: []column[sprout.Token]{
			{Name: "NAME", Value: func(t sprout.Token) string { return t.Name }},
			{Name: "ROLE", Value: func(t sprout.Token) string { return string(t.Role) }},
			{Name: "SITE", Value: func(t sprout.Token) string { return string(t.Site) }, Wide: true},
			{Name: "CREATED", Value: func(t sprout.Token) string { return moment(t.CreatedAt) }},
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
				writeLines(e.stdout, []line{{"Name", t.Name}, {"Role", string(t.Role)}, {"Site", cmp.Or(string(t.Site), "every site")}, {"Expires", expiryOf(t)}})
			})
		},
	}
}

func expiryOf(t sprout.Token) string {
	if t.ExpiresAt == nil {
		return "never"
	}
	return moment(*t.ExpiresAt)
}

func tokenRevokeCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "revoke TOKEN…", Short: api.TokenRevoke.Help, Args: takes(1, -1, "the names of tokens"), Example: "  sprout token revoke ci",
		RunE: func(c *cobra.Command, args []string) error {
			return e.each(args, func(ref string) (result, error) {
				_, err := call(c.Context(), e, api.TokenRevoke, api.TokenRef{Token: ref})
				return result{gone{Name: ref, Revoked: true}, fmt.Sprintf("token %s is revoked", ref)}, err
			})
		},
	}
}
