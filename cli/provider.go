package cli

import (
	"github.com/spf13/cobra"

	"sprout/api"
)

func providerCommand(e *env) *cobra.Command {
	return group("provider", "Implementations of the capabilities.", listCommand(e, api.ProviderList, &api.Paging{}, listing[api.Provider]{
		Example: "  sprout provider list", None: "no providers",
		Columns: []column[api.Provider]{
			{Name: "CAPABILITY", Value: func(p api.Provider) string { return p.Capability }},
			{Name: "NAME", Value: func(p api.Provider) string { return p.Name }},
			{Name: "STATUS", Value: providerStatus},
			{Name: "DESCRIPTION", Value: func(p api.Provider) string { return p.Description }},
		},
	}))
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
