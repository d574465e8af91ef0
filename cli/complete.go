package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sprout"
	"sprout/api"
	"sprout/lab"
)

// completionPatience is how long the shell waits for the control plane.
const completionPatience = 2 * time.Second

// How many words the control plane is asked for at most. There are many machines,
// so only those are asked for that begin as the word does; of workflows and
// problems the newest, as the latest are worked with.
const (
	mostWords = 100
	mostOfFew = 1000 // of nouns that there are few of: each is looked at
)

// A completer lists the words that may stand in a place, each optionally with a
// tab and a description. It may leave out words that do not begin as begun.
type completer func(ctx context.Context, begun string) []cobra.Completion

// complete gives every argument and flag of the tree the words that may stand
// there. An argument is known by its name in the usage line, a flag by its own.
func complete(e *env, root *cobra.Command) {
	nouns, flags := e.nounWords(), e.flagWords()
	walk(root, func(c *cobra.Command) {
		_, argument, _ := strings.Cut(c.Use, " ")
		argument, _, _ = strings.Cut(strings.Trim(argument, "[]…"), " ")
		if words, ok := nouns[argument]; ok {
			c.ValidArgsFunction = suggest(words, !strings.Contains(c.Use, "…"))
		}
		if c.HasParent() && c.Parent().Name() == "lab" && argument == "MACHINE" && c.Name() != "ssh" {
			c.ValidArgsFunction = suggest(e.labMachines(c), !strings.Contains(c.Use, "…"))
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			words, ok := flags[f.Name]
			if f.Name == "state" {
				words, ok = states(c.Parent().Name())
			}
			if ok {
				_ = c.RegisterFlagCompletionFunc(f.Name, suggest(words, false)) // fails only where one is there already
			}
		})
	})
}

func walk(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, sub := range c.Commands() {
		walk(sub, visit)
	}
}

// suggest makes the function that cobra asks: what begins as the word does and
// is not there yet.
func suggest(words completer, once bool) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if once && len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(c.Context(), completionPatience)
		defer cancel()
		var fit []cobra.Completion
		for _, w := range words(ctx, begun) {
			word, _, _ := strings.Cut(w, "\t")
			if strings.HasPrefix(word, begun) && !slices.Contains(args, word) {
				fit = append(fit, w)
			}
		}
		return fit, cobra.ShellCompDirectiveNoFileComp
	}
}

// nounWords is what may stand for each argument.
func (e *env) nounWords() map[string]completer {
	return map[string]completer{
		"MACHINE": e.machineWords(),
		"MODEL":   words(e, mostOfFew, api.ModelList, api.Paging{}, func(m sprout.Model) (string, string) { return m.Name, m.Vendor }),
		"SITE":    words(e, mostOfFew, api.SiteList, api.ListSites{}, func(s sprout.Site) (string, string) { return s.Name, s.Domain }),
		"NETWORK": words(e, mostOfFew, api.NetworkList, api.ListNetworks{}, func(n sprout.Network) (string, string) { return n.Name, n.SiteName + ", " + subnets(n) }),
		"SUBNET":  words(e, mostOfFew, api.SubnetList, api.ListSubnets{}, func(s sprout.Subnet) (string, string) { return s.CIDR.String(), string(s.ID) }),
		"IMAGE":   words(e, mostOfFew, api.ImageList, api.ListImages{}, func(i sprout.Image) (string, string) { return i.Name, string(i.Architecture) }),
		"ALIAS":   words(e, mostOfFew, api.ImageAliasList, api.Paging{}, func(a sprout.ImageAlias) (string, string) { return a.Name, a.ImageName }),
		"WORKFLOW": words(e, mostWords, api.WorkflowList, api.ListWorkflows{}, func(w sprout.Workflow) (string, string) {
			return string(w.ID), w.Kind + " " + w.MachineName + ", " + string(w.State)
		}),
		"ALLOCATION": words(e, mostWords, api.AllocationList, api.ListAllocations{}, func(a sprout.Allocation) (string, string) {
			return string(a.ID), a.Owner + ", " + string(a.State)
		}),
		"OWNER":   words(e, mostWords, api.QuotaList, api.Paging{}, func(q sprout.Quota) (string, string) { return q.Owner, machines(q.Machines) }),
		"RULE":    words(e, mostOfFew, api.RuleList, api.Paging{}, func(r api.RuleReport) (string, string) { return r.Name, matchText(r.Match) }),
		"QUOTA":   words(e, mostWords, api.QuotaList, api.Paging{}, func(q sprout.Quota) (string, string) { return q.Owner, machines(q.Machines) }),
		"PROBLEM": words(e, mostWords, api.ProblemList, api.ListProblems{Sort: "-since"}, func(p sprout.Problem) (string, string) { return string(p.ID), p.Name + ", " + string(p.Code) }),
		"CONTEXT": e.contextWords(),
		"AGENT":   words(e, mostOfFew, api.AgentList, api.ListOfSite{}, func(a sprout.Agent) (string, string) { return a.Name, a.SiteName }),
		"TOKEN":   words(e, mostOfFew, api.TokenList, api.Paging{}, func(t sprout.Token) (string, string) { return t.Name, string(t.Role) }),
		"TEST":    e.testWords(),
		"RECIPE":  fixed(imageRecipes...),
	}
}

func (e *env) testWords() completer {
	return words(e, mostOfFew, api.TestList, api.ListTests{}, func(t sprout.Test) (string, string) { return t.Name, t.Title })
}

// flagWords is what may stand for each flag.
func (e *env) flagWords() map[string]completer {
	nouns := e.nounWords()
	return map[string]completer{
		"site": nouns["SITE"], "machine": nouns["MACHINE"], "network": nouns["NETWORK"], "subnet": nouns["SUBNET"], "kind": fixed(string(sprout.Dynamic), string(sprout.ReservedRange)), "image": nouns["IMAGE"],
		"context": nouns["CONTEXT"], "test": nouns["TEST"], "outcome": fixed(string(sprout.Passed), string(sprout.Failed), string(sprout.Skipped)),
		"spread": fixed("zone"), "output": fixed(formats...), "arch": fixed(string(sprout.AMD64), string(sprout.ARM64)),
		"layout": fixed(sprout.LayoutNames()...), "file-system": fixed(string(sprout.UseExt4), string(sprout.UseXFS)),
		"boot-mode": fixed(string(sprout.BIOS), string(sprout.UEFI)), "firmware": fixed(string(sprout.BIOS), string(sprout.UEFI)),
		"role": fixed(string(sprout.Viewer), string(sprout.Operator), string(sprout.Admin)), "bmc-driver": fixed("redfish", "ipmi", "webhook", "manual"),
	}
}

// states is what may stand for --state of a noun's commands.
func states(noun string) (completer, bool) {
	switch noun {
	case "machine":
		return fixed(machineStates()...), true
	case "workflow":
		return fixed(workflowStates()...), true
	case "allocation":
		return fixed(string(sprout.AllocationQueued), string(sprout.AllocationGiven), string(sprout.AllocationOver), string(sprout.AllocationExpired), string(sprout.AllocationCancelled)), true
	}
	return nil, false
}

func machineStates() []string {
	var all []string
	for _, s := range sprout.States {
		all = append(all, string(s))
	}
	return all
}

func workflowStates() []string {
	var all []string
	for _, s := range []sprout.WorkflowState{sprout.Running, sprout.Unwinding, sprout.Succeeded, sprout.FailedRun, sprout.Cancelled} {
		all = append(all, string(s))
	}
	return all
}

func fixed(all ...string) completer {
	return func(context.Context, string) []cobra.Completion { return all }
}

// words makes a completer of what an operation lists. A control plane that does
// not answer has no words.
func words[In, T any, P api.Paged[In]](e *env, most int, op api.Op[In, api.Page[T]], in In, of func(T) (word, about string)) completer {
	return func(ctx context.Context, _ string) []cobra.Completion {
		items, err := gather[In, T, P](ctx, e, op, in, most)
		if err != nil {
			return nil
		}
		var all []cobra.Completion
		for _, item := range items {
			word, about := of(item)
			all = append(all, cobra.CompletionWithDesc(word, about))
		}
		return all
	}
}

// machineWords asks for machines whose name begins as the word does, by the index
// of names.
func (e *env) machineWords() completer {
	return func(ctx context.Context, begun string) []cobra.Completion {
		in := api.ListMachines{MachineMatch: api.MachineMatch{Name: begun}, Sort: "name"}
		return words(e, mostWords, api.MachineList, in, func(m sprout.Machine) (string, string) { return m.Name, m.SiteName + ", " + string(m.State) })(ctx, begun)
	}
}

// labMachines lists the machines of the lab that the flags of c name.
func (e *env) labMachines(c *cobra.Command) completer {
	return func(ctx context.Context, _ string) []cobra.Completion {
		l := &labEnv{env: e, name: c.Flag("name").Value.String(), dir: c.Flag("dir").Value.String()}
		dir, err := l.directory()
		if err != nil {
			return nil
		}
		s, err := lab.NewClient(dir).Status(ctx)
		if err != nil {
			return nil
		}
		var all []cobra.Completion
		for _, m := range s.Machines {
			all = append(all, cobra.CompletionWithDesc(m.Name, string(m.Firmware)+", "+string(m.Power)))
		}
		return all
	}
}
