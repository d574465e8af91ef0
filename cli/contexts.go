package cli

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/trust"
)

// contextCommand holds the verbs about contexts. They change the user's own
// file and ask no control plane.
func contextCommand(e *env) *cobra.Command {
	return group("context", "The control planes that this user has logged in to.",
		contextListCommand(e), contextShowCommand(e), contextUseCommand(e), contextDeleteCommand(e))
}

// A contextView is a context as it may be printed: without its token.
type contextView struct {
	Name      string `json:"name"`
	Current   bool   `json:"current"`
	Server    string `json:"server"`
	Authority string `json:"authority,omitempty"` // fingerprint of what is pinned
	HasToken  bool   `json:"hasToken"`
}

func viewOf(file contextFile, name string) contextView {
	c := file.Contexts[name]
	v := contextView{Name: name, Current: name == file.Current, Server: c.Server, HasToken: c.Token != ""}
	if pinned, err := trust.Certificates([]byte(c.CA)); err == nil {
		v.Authority = trust.Fingerprint(pinned[0])
	}
	return v
}

// contexts reads the context file and says where it is.
func (e *env) contexts() (file contextFile, path string, err error) {
	if path, err = e.contextPath(); err != nil {
		return file, path, err
	}
	file, err = readContexts(path)
	return file, path, err
}

func contextListCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the contexts.", Aliases: []string{"ls"}, Args: takes(0, 0, "no arguments"), Example: "  sprout context list",
		RunE: func(*cobra.Command, []string) error {
			file, _, err := e.contexts()
			if err != nil {
				return err
			}
			var all []contextView
			for _, name := range file.names() {
				all = append(all, viewOf(file, name))
			}
			return list(e, all, "no contexts: sprout login https://… makes one", []column[contextView]{
				{Name: "NAME", Value: func(v contextView) string { return v.Name }},
				{Name: "CURRENT", Value: func(v contextView) string { return yesNo(v.Current) }},
				{Name: "SERVER", Value: func(v contextView) string { return v.Server }},
				{Name: "TOKEN", Value: func(v contextView) string { return yesNo(v.HasToken) }},
				{Name: "AUTHORITY", Value: func(v contextView) string { return v.Authority }, Wide: true},
			})
		},
	}
}

func contextShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show [CONTEXT]", Short: "Show a context; without a name the one that commands use.", Args: takes(0, 1, "the name of a context"),
		Example: "  sprout context show production",
		RunE: func(_ *cobra.Command, args []string) error {
			file, path, err := e.contexts()
			if err != nil {
				return err
			}
			name := cmp.Or(append(args, e.context, e.getenv("SPROUT_CONTEXT"), file.Current)...)
			if _, err := file.find(name); err != nil {
				return err
			}
			v := viewOf(file, name)
			return e.answer(v, func() {
				writeLines(e.stdout, []line{
					{"Name", v.Name}, {"Current", yesNo(v.Current)}, {"Server", v.Server},
					{"Authority", cmp.Or(v.Authority, "what the system trusts")}, {"Token", yesNo(v.HasToken)}, {"File", path},
				})
			})
		},
	}
}

func contextUseCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "use CONTEXT", Short: "Make a context the current one.", Args: takes(1, 1, "the name of a context"), Example: "  sprout context use production",
		RunE: func(_ *cobra.Command, args []string) error {
			var v contextView
			err := e.changeContexts(func(file *contextFile) error {
				_, err := file.find(args[0])
				file.Current = args[0]
				v = viewOf(*file, args[0])
				return err
			})
			if err != nil {
				return err
			}
			return e.say(v, "context %s is current", args[0])
		},
	}
}

func contextDeleteCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "delete CONTEXT…", Short: "Forget contexts and their tokens, which stay valid until they expire or are revoked.", Aliases: []string{"rm"},
		Args: takes(1, -1, "the names of contexts"), Example: "  sprout context delete staging",
		RunE: func(_ *cobra.Command, args []string) error {
			return e.each(args, func(name string) (result, error) {
				err := e.changeContexts(func(file *contextFile) error {
					_, err := file.find(name)
					delete(file.Contexts, name)
					if file.Current == name {
						file.Current = ""
					}
					return err
				})
				return result{gone{Name: name, Deleted: true}, fmt.Sprintf("context %s is deleted", name)}, err
			})
		},
	}
}

func (e *env) changeContexts(change func(*contextFile) error) error {
	path, err := e.contextPath()
	if err != nil {
		return err
	}
	return changeContexts(path, change)
}

// contextWords lists the contexts for the shell.
func (e *env) contextWords() completer {
	return func(context.Context, string) []cobra.Completion {
		file, _, err := e.contexts()
		if err != nil {
			return nil
		}
		var all []cobra.Completion
		for _, name := range file.names() {
			all = append(all, cobra.CompletionWithDesc(name, file.Contexts[name].Server))
		}
		return all
	}
}

// sayLogin tells who logged in, and which context remembers it.
func (e *env) sayLogin(who sprout.Token, context string, conn connection) error {
	v := struct {
		contextView
		Token sprout.Token `json:"token"`
	}{viewOf(contextFile{Current: context, Contexts: map[string]connection{context: conn}}, context), who}
	return e.answer(v, func() {
		until := ""
		if who.ExpiresAt != nil {
			until = " until " + moment(*who.ExpiresAt)
		}
		fmt.Fprintf(e.stdout, "logged in to %s as %s (%s)%s; context %s is current\n", conn.Server, who.Name, rolesOf(who), until, context)
		if who.Kind == sprout.FirstToken {
			fmt.Fprintln(e.stderr, "this is the token of the installation's first start, which never expires: make each person a token of their own by\n"+
				"sprout token create NAME --role admin, log in with that, then sprout token revoke "+who.Name)
		}
	})
}
