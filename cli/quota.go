package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func quotaCommand(e *env) *cobra.Command {
	return group("quota", "How many machines owners may have.", quotaSetCommand(e), quotaListCommand(e), quotaShowCommand(e), quotaDeleteCommand(e))
}

func quotaSetCommand(e *env) *cobra.Command {
	in := api.SetQuota{}
	c := &cobra.Command{
		Use: "set OWNER", Short: api.QuotaSet.Help, Args: takes(1, 1, "the name of an owner"), Example: "  sprout quota set shop --machines 20",
		Long: "Set how many machines an owner may have, allocated and deployed ones together, at all sites. Who has more keeps them, and is\n" +
			"given no others. Owners without a quota may have any number.",
		RunE: func(c *cobra.Command, args []string) error {
			if !c.Flags().Changed("machines") {
				return usage(c, "%s needs --machines", c.CommandPath())
			}
			in.Owner = args[0]
			q, err := call(c.Context(), e, api.QuotaSet, in)
			if err != nil {
				return err
			}
			return e.say(q, "%s may have %s, and has %d", q.Owner, machines(q.Machines), q.Has)
		},
	}
	c.Flags().IntVar(&in.Body.Machines, "machines", 0, "how many it may have")
	return c
}

func quotaListCommand(e *env) *cobra.Command {
	return listCommand(e, api.QuotaList, &api.Paging{}, listing[sprout.Quota]{
		Example: "  sprout quota list", None: "no owner has a quota: sprout quota set OWNER --machines N",
		Columns: []column[sprout.Quota]{
			{Name: "OWNER", Value: func(q sprout.Quota) string { return q.Owner }},
			{Name: "HAS", Value: func(q sprout.Quota) string { return strconv.Itoa(q.Has) }},
			{Name: "QUOTA", Value: func(q sprout.Quota) string { return strconv.Itoa(q.Machines) }},
			{Name: "SET BY", Value: func(q sprout.Quota) string { return q.By }},
			{Name: "AT", Value: func(q sprout.Quota) string { return moment(q.At) }},
		},
	})
}

func quotaShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show OWNER", Short: api.QuotaShow.Help, Args: takes(1, 1, "the name of an owner"), Example: "  sprout quota show shop",
		RunE: func(c *cobra.Command, args []string) error {
			q, err := call(c.Context(), e, api.QuotaShow, api.QuotaRef{Owner: args[0]})
			if err != nil {
				return err
			}
			return e.answer(q, func() {
				writeLines(e.stdout, []line{{"Owner", q.Owner}, {"Has", strconv.Itoa(q.Has)}, {"Quota", strconv.Itoa(q.Machines)}, {"Set", moment(q.At) + " by " + q.By}})
			})
		},
	}
}

func quotaDeleteCommand(e *env) *cobra.Command {
	return deleteCommand(e, "quota", "shop", api.QuotaDelete, func(ref string) api.QuotaRef { return api.QuotaRef{Owner: ref} }, func(ctx context.Context, ref string) (loss, error) {
		q, err := call(ctx, e, api.QuotaShow, api.QuotaRef{Owner: ref})
		if err != nil {
			return loss{}, err
		}
		return loss{ID: q.Owner, Name: q.Owner, Destroys: []string{fmt.Sprintf("the limit of %s: it may then have any number", machines(q.Machines))}}, nil
	})
}
