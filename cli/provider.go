package cli

import (
	"github.com/spf13/cobra"

	"sprout/api"
)

func providerCommand(e *env) *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: api.ProviderList.Help, Aliases: []string{"ls"}, Args: takes(0, 0, "no arguments"), Example: "  sprout provider list",
		RunE: func(c *cobra.Command, _ []string) error {
			providers, err := call(c.Context(), e, api.ProviderList, struct{}{})
			if err != nil {
				return err
			}
			return list(e, providers, "no providers", []column[api.Provider]{
				{Name: "CAPABILITY", Value: func(p api.Provider) string { return p.Capability }},
				{Name: "NAME", Value: func(p api.Provider) string { return p.Name }},
				{Name: "STATUS", Value: providerStatus},
				{Name: "DESCRIPTION", Value: func(p api.Provider) string { return p.Description }},
			})
		},
	}
	return group("provider", "Implementations of the capabilities.", c)
}

func providerStatus(p api.Provider) string {
	switch {
	case p.Selected:
		return "selected"
	case p.Selectable:
		return "available"
	}
	return p.Why
}
