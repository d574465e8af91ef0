package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func ruleCommand(e *env) *cobra.Command {
	return group("rule", "Rules that take in machines which were discovered.", ruleCreateCommand(e), ruleListCommand(e), ruleShowCommand(e), ruleSetCommand(e),
		ruleRunCommand(e), ruleExplainCommand(e), ruleDeleteCommand(e))
}

// ruleFlags are the flags that say what a rule is.
type ruleFlags struct {
	match        []string
	site         string
	priority     int
	name         string
	tags         []string
	pool, zone   string
	commission   bool
	passwordFile string
	bmc          bmcFlags
}

func (r *ruleFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&r.match, "match", nil, "what a machine must meet: FLAG=VALUE,… with the flags of machine allocate, as model=R650,cores=32; may be repeated")
	f.StringVar(&r.site, "site", "", "only machines of this site, as --match site=…")
	f.IntVar(&r.priority, "priority", 0, "the highest that a machine meets takes it; of equal ones the oldest")
	f.StringVar(&r.name, "name", "", "call machines so: {serial}, {mac}, {uuid}, {model}, {site} and {counter} are filled in")
	f.StringSliceVar(&r.tags, "tag", nil, "give them this tag; may be repeated")
	f.StringVar(&r.pool, "pool", "", "put them into this pool")
	f.StringVar(&r.zone, "zone", "", "put them into this failure zone")
	f.BoolVar(&r.commission, "commission", false, "commission them at once")
	f.StringVar(&r.passwordFile, "bmc-password-file", "", "file with the password at the BMC; - reads standard input")
	r.bmc.add(c)
}

// constraints reads --match. Its words are the flags of constraints, so that there is
// one language of them. What itself has commas takes the rest of its text.
func (r *ruleFlags) constraints() (b api.Constraints, err error) {
	words, flags := constraintWords{}, &cobra.Command{}
	words.add(flags, &b)
	for _, text := range r.match {
		for text != "" {
			pair, rest, _ := strings.Cut(text, ",")
			key, _, _ := strings.Cut(pair, "=")
			if key == "has-disks" || key == "has-pci" || key == "labels" {
				pair, rest = text, ""
			}
			text = rest
			key, value, said := strings.Cut(pair, "=")
			key = strings.TrimSpace(strings.TrimSuffix(key, ">")) // of amounts each is the least
			if !said || value == "" || flags.Flags().Lookup(key) == nil {
				return b, sprout.InvalidField("--match", "%q is no constraint: it is FLAG=VALUE with a flag of machine allocate, without its hyphens", pair).WithRemedy("sprout machine allocate --help")
			}
			if err := flags.Flags().Set(key, value); err != nil {
				return b, sprout.InvalidField("--match", "%q: %v", pair, err)
			}
		}
	}
	if r.site != "" {
		b.Site = r.site
	}
	return b, words.read(&b)
}

// power reads the BMC that machines get, over old.
func (r *ruleFlags) power(e *env, c *cobra.Command, old *sprout.BMC) (*sprout.BMC, error) {
	bmc, err := r.bmc.bmc(e, c, old)
	if err != nil || r.passwordFile == "" {
		return bmc, err
	}
	raw, err := e.readFile("--bmc-password-file", r.passwordFile)
	if err != nil {
		return nil, err
	}
	if bmc == nil {
		bmc = &sprout.BMC{Driver: "redfish"}
		if old != nil {
			*bmc = *old
		}
	}
	bmc.Password = strings.TrimRight(string(raw), "\r\n")
	return bmc, nil
}

func ruleCreateCommand(e *env) *cobra.Command {
	var flags ruleFlags
	var plan bool
	c := &cobra.Command{
		Use: "create NAME", Short: api.RuleCreate.Help, Args: takes(1, 1, "the name of the rule"),
		Long: "Make a rule that takes in machines when they are discovered from now on. Those that wait already stay as they are, so that a rule which\n" +
			"says too much does no harm: --plan shows which it would take, and sprout rule run takes them. A machine that its rule cannot name,\n" +
			"because another is called so, say, waits, with a problem that says why.",
		Example: "  sprout rule create lab-r650 --match 'model=PowerEdge R650,cores=32,memory=256GiB' --name 'r650-{serial}' --tag lab --plan\n" +
			"  sprout rule create lon1-nodes --site lon1 --match subnet=10.20.0.0/24 --name 'node-{counter}' --priority 10 \\\n" +
			"    --bmc-url 'https://{serial}.bmc.example' --bmc-user admin --bmc-password-file bmc-password --commission\n" +
			"  sprout rule create gpu --match 'has-pci=vendor=10de,count=4' --pool gpu",
		RunE: func(c *cobra.Command, args []string) (err error) {
			var in api.CreateRule
			in.Body.Name, in.Body.Priority = args[0], flags.priority
			in.Body.RuleGift = sprout.RuleGift{MachineName: flags.name, Tags: flags.tags, Pool: flags.pool, Zone: flags.zone, Commission: flags.commission}
			if in.Body.Match, err = flags.constraints(); err != nil {
				return err
			}
			if in.Body.BMC, err = flags.power(e, c, nil); err != nil {
				return err
			}
			if plan {
				round, err := call(c.Context(), e, api.RuleTry, in)
				if err != nil {
					return err
				}
				return e.answerRound(round)
			}
			r, err := call(c.Context(), e, api.RuleCreate, in)
			if err != nil {
				return err
			}
			return e.say(r, "rule %s takes machines that are discovered from now on; those that wait: sprout rule run %s --plan", r.Name, r.Name)
		},
	}
	flags.add(c)
	c.Flags().BoolVar(&plan, "plan", false, "say which waiting machines it would take, and make nothing")
	return c
}

func ruleSetCommand(e *env) *cobra.Command {
	var flags ruleFlags
	c := &cobra.Command{
		Use: "set RULE", Short: api.RuleSet.Help, Args: takes(1, 1, "the name of a rule"),
		Long:    "Change a rule. What is not said stays as it is; --match replaces all that machines had to meet.",
		Example: "  sprout rule set lab-r650 --priority 20\n  sprout rule set lab-r650 --name '{site}-{serial}'\n  sprout rule set lab-r650 --bmc-password-file bmc-password",
		RunE: func(c *cobra.Command, args []string) error {
			old, err := call(c.Context(), e, api.RuleShow, api.RuleRef{Rule: args[0]})
			if err != nil {
				return err
			}
			in := api.SetRule{RuleRef: api.RuleRef{Rule: args[0]}}
			changed := c.Flags().Changed
			set(changed("priority"), &in.Body.Priority, flags.priority)
			set(changed("name"), &in.Body.MachineName, flags.name)
			set(changed("tag"), &in.Body.Tags, flags.tags)
			set(changed("pool"), &in.Body.Pool, flags.pool)
			set(changed("zone"), &in.Body.Zone, flags.zone)
			set(changed("commission"), &in.Body.Commission, flags.commission)
			if in.Body.BMC, err = flags.power(e, c, old.BMC); err != nil {
				return err
			}
			if changed("match") || changed("site") {
				match, err := flags.constraints()
				if err != nil {
					return err
				}
				if !changed("match") {
					match = old.Match
					match.Site = flags.site
				}
				in.Body.Match = &match
			}
			r, err := call(c.Context(), e, api.RuleSet, in)
			if err != nil {
				return err
			}
			return e.say(r, "rule %s is changed; machines that it took stay as they are", r.Name)
		},
	}
	flags.add(c)
	return c
}

func ruleListCommand(e *env) *cobra.Command {
	return listCommand(e, api.RuleList, &api.Paging{}, listing[api.RuleReport]{
		Example: "  sprout rule list", None: "there are no rules, machines wait until somebody accepts them: sprout rule create NAME --match …",
		Columns: []column[api.RuleReport]{
			{Name: "RULE", Value: func(r api.RuleReport) string { return r.Name }},
			{Name: "PRIORITY", Value: func(r api.RuleReport) string { return strconv.Itoa(r.Priority) }},
			{Name: "MATCH", Value: func(r api.RuleReport) string { return matchText(r.Match) }},
			{Name: "NAMES", Value: func(r api.RuleReport) string { return r.MachineName }},
			{Name: "COMMISSIONS", Value: func(r api.RuleReport) string { return yesNo(r.Commission) }},
			{Name: "TAKEN", Value: func(r api.RuleReport) string { return strconv.FormatInt(r.Taken, 10) }},
		},
	})
}

func ruleShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show RULE", Short: api.RuleShow.Help, Args: takes(1, 1, "the name of a rule"), Example: "  sprout rule show lab-r650",
		RunE: func(c *cobra.Command, args []string) error {
			r, err := call(c.Context(), e, api.RuleShow, api.RuleRef{Rule: args[0]})
			if err != nil {
				return err
			}
			return e.answer(r, func() {
				bmc := ""
				if r.BMC != nil {
					bmc = strings.TrimSpace(r.BMC.Driver + " " + r.BMC.URL + " as " + r.BMC.Username)
				}
				writeLines(e.stdout, []line{
					{"Name", r.Name}, {"Priority", strconv.Itoa(r.Priority)}, {"Match", matchText(r.Match)}, {"Names machines", r.MachineName},
					{"Tags", strings.Join(r.Tags, ", ")}, {"Pool", r.Pool}, {"Zone", r.Zone}, {"BMC", bmc}, {"Commissions", yesNo(r.Commission)},
					{"Taken", machines(int(r.Taken))}, {"Made", moment(r.CreatedAt) + " by " + r.By},
				})
			})
		},
	}
}

// matchText is what machines must meet, in the words of the API.
func matchText(b api.Constraints) string {
	plain, err := toPlain(b)
	fields, ok := plain.(map[string]any)
	if err != nil || !ok || len(fields) == 0 {
		return "any machine"
	}
	var words []string
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		words = append(words, fmt.Sprintf("%s=%v", key, fields[key]))
	}
	return strings.Join(words, ", ")
}

func ruleRunCommand(e *env) *cobra.Command {
	var in api.RunRule
	c := &cobra.Command{
		Use: "run RULE", Short: api.RuleRun.Help, Args: takes(1, 1, "the name of a rule"), Example: "  sprout rule run lab-r650 --plan\n  sprout rule run lab-r650",
		RunE: func(c *cobra.Command, args []string) error {
			in.Rule = args[0]
			round, err := call(c.Context(), e, api.RuleRun, in)
			if err != nil {
				return err
			}
			return e.answerRound(round)
		},
	}
	c.Flags().BoolVar(&in.Body.Plan, "plan", false, "say what it would take, and take nothing")
	return c
}

// answerRound says what came of asking a rule about the machines that wait.
func (e *env) answerRound(r api.RuleRound) error {
	return e.answer(r, func() {
		if len(r.Items) == 0 {
			fmt.Fprintf(e.stderr, "rule %s takes none: %s waiting, and none meets it; why: sprout rule explain MACHINE\n", r.Rule, machines(r.Waiting))
			return
		}
		writeTable(e, r.Items, []column[api.RuleItem]{
			{Name: "MACHINE", Value: func(i api.RuleItem) string { return i.Name }},
			{Name: "SITE", Value: func(i api.RuleItem) string { return i.Site }},
			{Name: "OUTCOME", Value: func(i api.RuleItem) string { return i.Outcome }},
			{Name: "AS", Value: func(i api.RuleItem) string { return i.As }},
			{Name: "WHY", Value: func(i api.RuleItem) string { return i.Why }},
		})
	})
}

func ruleExplainCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "explain MACHINE", Short: api.RuleExplain.Help, Args: takes(1, 1, "the name of a machine"), Example: "  sprout rule explain new-525400123456",
		RunE: func(c *cobra.Command, args []string) error {
			x, err := call(c.Context(), e, api.RuleExplain, machineRef(args[0]))
			if err != nil {
				return err
			}
			return e.answer(x, func() {
				writeLines(e.stdout, []line{{"Machine", x.Machine}, {"State", string(x.State)}, {"Taken by", x.TakenBy}})
				for _, v := range x.Rules {
					fmt.Fprintf(e.stdout, "\nrule %s, priority %d: %s\n", v.Rule, v.Priority, verdict(v))
					for _, l := range v.Lacks {
						fmt.Fprintf(e.stdout, "  %s (%s)\n", l.Constraint, l.Has)
					}
				}
				if len(x.Rules) == 0 {
					fmt.Fprintln(e.stderr, "there are no rules: sprout rule create NAME --match …")
				}
			})
		},
	}
}

func verdict(v api.RuleVerdict) string {
	switch {
	case !v.Fits:
		return "does not meet " + suffixed(len(v.Lacks), "constraints", "constraint") + ":"
	case !v.First:
		return "would take it, but one before does"
	case v.Why != "":
		return "cannot take it: " + v.Why
	}
	return "takes it, as " + v.As
}

func ruleDeleteCommand(e *env) *cobra.Command {
	return deleteCommand(e, "rule", "lab-r650", api.RuleDelete, func(ref string) api.RuleRef { return api.RuleRef{Rule: ref} }, func(ctx context.Context, ref string) (loss, error) {
		r, err := call(ctx, e, api.RuleShow, api.RuleRef{Rule: ref})
		if err != nil {
			return loss{}, err
		}
		return loss{ID: r.Name, Name: r.Name, Destroys: []string{"the rule; the " + machines(int(r.Taken)) + " that it took stay as they are"}}, nil
	})
}
