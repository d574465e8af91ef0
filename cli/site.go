package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func siteCommand(e *env) *cobra.Command {
	return group("site", "Places with their own provisioning network.",
		siteCreateCommand(e), siteListCommand(e), siteShowCommand(e),
		deleteCommand(e, "site", "lon1", api.SiteDelete, func(ref string) api.SiteRef { return api.SiteRef{Site: ref} }, e.siteLoss))
}

func siteCreateCommand(e *env) *cobra.Command {
	var in api.CreateSite
	c := &cobra.Command{
		Use: "create NAME", Short: api.SiteCreate.Help, Args: takes(1, 1, "the name of the site"),
		Example: "  sprout site create lon1\n  sprout site create lon1 --domain lon1.example",
		RunE: func(c *cobra.Command, args []string) error {
			in.Body.Name = args[0]
			site, err := call(c.Context(), e, api.SiteCreate, in)
			if err != nil {
				return err
			}
			return e.say(site, "site %s is created: its machines are named under %s", site.Name, site.Domain)
		},
	}
	c.Flags().StringVar(&in.Body.Domain, "domain", "", "domain of the machines' names (default NAME.internal)")
	return c
}

func siteListCommand(e *env) *cobra.Command {
	return listCommand(e, api.SiteList, &api.ListSites{}, listing[sprout.Site]{
		Example: "  sprout site list", None: "no sites: sprout site create NAME",
		Columns: []column[sprout.Site]{
			{Name: "NAME", Value: func(s sprout.Site) string { return s.Name }},
			{Name: "DOMAIN", Value: func(s sprout.Site) string { return s.Domain }},
			{Name: "CREATED", Value: func(s sprout.Site) string { return moment(s.CreatedAt) }},
			{Name: "ID", Value: func(s sprout.Site) string { return string(s.ID) }, Wide: true},
		},
	})
}

func siteShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show SITE", Short: api.SiteShow.Help, Args: takes(1, 1, "the name of a site"), Example: "  sprout site show lon1 -o yaml",
		RunE: func(c *cobra.Command, args []string) error {
			site, err := call(c.Context(), e, api.SiteShow, api.SiteRef{Site: args[0]})
			if err != nil {
				return err
			}
			return e.answer(site, func() {
				lines := []line{{"Name", site.Name}, {"Domain", site.Domain}, {"Id", string(site.ID)}, {"Created", moment(site.CreatedAt)}}
				if a := site.Agent; a != nil {
					lines = append(lines, line{"Agent", fmt.Sprintf("%s, %s, %s", a.Name, online(*a), a.Version)}, line{"Downloads", downloads(*a)})
				}
				writeLines(e.stdout, lines)
			})
		},
	}
}
