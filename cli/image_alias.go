package cli

import (
	"context"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func imageAliasCommand(e *env) *cobra.Command {
	return group("alias", "Names that mean an image until they are moved to another.",
		imageAliasSetCommand(e), imageAliasListCommand(e), imageAliasShowCommand(e), imageAliasDeleteCommand(e))
}

func imageAliasRef(name string) api.ImageAliasRef { return api.ImageAliasRef{Alias: name} }

func imageAliasSetCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "set ALIAS IMAGE", Short: "Have a name mean an image, or move it to another.", Args: takes(2, 2, "a name for the alias, and an image"),
		Long: "Have a name mean an image, or move it to another. A deploy installs what the alias means when it is asked for: machines that are\n" +
			"deployed or being deployed stay as they are, and the image that it meant before stays too. An alias cannot have the name of an image.",
		Example: "  sprout image alias set debian-12 debian-12-20261101\n  sprout image alias set debian-12 sha256:9f86d081…",
		RunE: func(c *cobra.Command, args []string) error {
			in := api.SetImageAlias{ImageAliasRef: imageAliasRef(args[0])}
			in.Body.Image = args[1]
			a, err := call(c.Context(), e, api.ImageAliasSet, in)
			if err != nil {
				return err
			}
			return e.say(a, "%s is image %s from now on, %s", a.Name, a.ImageName, a.Digest)
		},
	}
}

func imageAliasListCommand(e *env) *cobra.Command {
	return listCommand(e, api.ImageAliasList, &api.Paging{}, listing[sprout.ImageAlias]{
		Example: "  sprout image alias list", None: "no aliases: sprout image alias set ALIAS IMAGE",
		Columns: []column[sprout.ImageAlias]{
			{Name: "ALIAS", Value: func(a sprout.ImageAlias) string { return a.Name }},
			{Name: "IMAGE", Value: func(a sprout.ImageAlias) string { return a.ImageName }},
			{Name: "SET BY", Value: func(a sprout.ImageAlias) string { return a.By }},
			{Name: "AT", Value: func(a sprout.ImageAlias) string { return moment(a.At) }},
			{Name: "DIGEST", Value: func(a sprout.ImageAlias) string { return a.Digest }, Wide: true},
		},
	})
}

func imageAliasShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show ALIAS", Short: api.ImageAliasShow.Help, Args: takes(1, 1, "the name of an alias"), Example: "  sprout image alias show debian-12",
		RunE: func(c *cobra.Command, args []string) error {
			a, err := call(c.Context(), e, api.ImageAliasShow, imageAliasRef(args[0]))
			if err != nil {
				return err
			}
			return e.answer(a, func() {
				writeLines(e.stdout, []line{{"Alias", a.Name}, {"Image", a.ImageName}, {"Digest", a.Digest}, {"Set", moment(a.At) + " by " + a.By}})
			})
		},
	}
}

func imageAliasDeleteCommand(e *env) *cobra.Command {
	return deleteCommand(e, "image alias", "debian-11", api.ImageAliasDelete, imageAliasRef, func(ctx context.Context, ref string) (loss, error) {
		a, err := call(ctx, e, api.ImageAliasShow, imageAliasRef(ref))
		if err != nil {
			return loss{}, err
		}
		return loss{ID: a.Name, Name: a.Name, Destroys: []string{"the name " + a.Name + " for image " + a.ImageName + ", which stays"}}, nil
	})
}
