package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func bmcCommand(e *env) *cobra.Command {
	return group("bmc", "Service processors that machines are driven by.", bmcCrawlCommand(e))
}

func bmcCrawlCommand(e *env) *cobra.Command {
	var in api.CrawlBMCs
	var yes bool
	var password string
	c := &cobra.Command{
		Use: "crawl SITE ADDRESS…", Short: api.BMCCrawl.Help, Args: takes(2, -1, "the name of a site, and addresses, ranges or prefixes"),
		Long: "Have the site's agent look for BMCs at addresses: by Redfish and then by IPMI, at first without credentials. With an account each BMC is read: which\n" +
			"systems are behind it, and which machines those are. --accept registers the new ones. The credentials are tried once at each BMC, at one after the other\n" +
			"until one takes them, and no more when three in a row refuse them: no account is locked. What is a machine's already is read with that machine's account.\n" +
			"A crawl that was ended goes on with --after; nothing that is registered is registered twice.",
		Example: "  sprout bmc crawl lon1 10.0.5.0/24 --plan\n  sprout bmc crawl lon1 10.0.5.0/24 --bmc-user root --bmc-password - --bmc-insecure\n" +
			"  sprout bmc crawl lon1 10.0.5.10-10.0.5.40 --rule lab-r650 --accept --name 'r650-{serial}' --plan\n" +
			"  sprout bmc crawl lon1 10.0.5.10-10.0.5.40 --rule lab-r650 --accept --name 'r650-{serial}' --yes",
		RunE: func(c *cobra.Command, args []string) (err error) {
			in.Body.Site, in.Body.Addresses = args[0], args[1:]
			if in.Body.Password, err = e.password("--bmc-password", password); err != nil {
				return err
			}
			if in.Body.Accept && !in.Body.Plan && !yes {
				return e.askAndRegister(c.Context(), in)
			}
			found, err := e.crawl(c.Context(), in)
			return e.crawled(in, found, err)
		},
	}
	f := c.Flags()
	f.StringVar(&in.Body.Username, "bmc-user", "", "user name at the BMCs; without one they are found, and not read")
	f.StringVar(&password, "bmc-password", "", "password at the BMCs; - reads it from standard input")
	f.StringVar(&in.Body.Rule, "rule", "", "use the BMC account of this rule of acceptance instead")
	f.BoolVar(&in.Body.Insecure, "bmc-insecure", false, "show the credentials to BMCs whatever their TLS certificate")
	f.StringVar(&in.Body.Redfish, "redfish", "", "where to look for Redfish (default https://{address}; none: nowhere)")
	f.StringVar(&in.Body.IPMI, "ipmi", "", "where to look for IPMI (default ipmi://{address}; none: nowhere)")
	f.StringVar(&in.Body.After, "after", "", "go on after this address")
	f.BoolVar(&in.Body.Accept, "accept", false, "register the new ones as machines")
	f.StringVar(&in.Body.MachineName, "name", "", "call them so: {serial}, {mac}, {uuid}, {model} and {site} are filled in (default new-{serial})")
	f.BoolVar(&in.Body.Plan, "plan", false, "with --accept: look, and register nothing; without: only say how many addresses there are")
	addYes(c, &yes)
	return c
}

// password reads a password that - has read from standard input.
func (e *env) password(flag, given string) (string, error) {
	if given != "-" {
		return given, nil
	}
	raw, err := e.readFile(flag, "-")
	return strings.TrimRight(string(raw), "\r\n"), err
}

// askAndRegister looks first, and registers what a person has seen.
func (e *env) askAndRegister(ctx context.Context, in api.CrawlBMCs) error {
	if !e.interactive() {
		return e.confirm(ctx, 1, "registers what it finds")
	}
	in.Body.Plan = true
	found, err := e.crawl(ctx, in)
	fresh := freshOf(found)
	if err != nil || len(fresh) == 0 {
		return e.crawled(in, found, err)
	}
	e.showCrawl(in, found)
	count := systemsIn(found, sprout.SystemNew)
	if err := e.confirm(ctx, count, "registers "+machines(count)); err != nil {
		return err
	}
	in.Body.Plan, in.Body.Addresses, in.Body.After = false, fresh, ""
	found, err = e.crawl(ctx, in)
	return e.crawled(in, found, err)
}

// freshOf lists the addresses with systems that are new.
func freshOf(c api.Crawl) (all []string) {
	for _, f := range c.Items {
		if slices.ContainsFunc(f.Systems, func(s sprout.FoundSystem) bool { return s.State == sprout.SystemNew }) {
			all = append(all, f.Address.String())
		}
	}
	return all
}

// crawl asks for one part of the addresses after the other, and says how far it is. What
// was found until an error is answered with it.
func (e *env) crawl(ctx context.Context, in api.CrawlBMCs) (all api.Crawl, err error) {
	all.Items = []sprout.FoundBMC{}
	for {
		part, err := call(ctx, e, api.BMCCrawl, in)
		if err != nil {
			return all, err
		}
		all.Items = append(all.Items, part.Items...)
		all.Next, all.Done, all.Total = part.Next, part.Done, part.Total
		if part.Done > 0 && !e.machineReadable() {
			fmt.Fprintf(e.stderr, "%d of %d addresses, %s found\n", all.Done, all.Total, suffixed(bmcsIn(all), "BMCs", "BMC"))
		}
		if in.Body.After = part.Next; part.Next == "" {
			return all, nil
		}
	}
}

// crawled answers with what was found, also where the rest could not be looked at.
func (e *env) crawled(in api.CrawlBMCs, found api.Crawl, err error) error {
	if err != nil && len(found.Items) == 0 {
		return err
	}
	said := e.answer(found, func() { e.showCrawl(in, found) })
	if err != nil {
		fmt.Fprintf(e.stderr, "%d of %d addresses are looked at; go on with --after %s\n", found.Done, found.Total, found.Next)
	}
	return cmp.Or(err, said)
}

// A crawlRow is a system, or a BMC that told of none.
type crawlRow struct {
	bmc    sprout.FoundBMC
	system sprout.FoundSystem
}

func (e *env) showCrawl(in api.CrawlBMCs, c api.Crawl) {
	if in.Body.Plan && !in.Body.Accept {
		fmt.Fprintf(e.stdout, "%s would be looked at; nothing is done\n", suffixed(c.Total, "addresses", "address"))
		return
	}
	var rows []crawlRow
	for _, f := range c.Items {
		switch {
		case f.State == sprout.BMCSilent:
		case len(f.Systems) == 0:
			rows = append(rows, crawlRow{bmc: f})
		default:
			for _, s := range f.Systems {
				rows = append(rows, crawlRow{f, s})
			}
		}
	}
	if len(rows) == 0 {
		fmt.Fprintf(e.stderr, "nothing answers at %s\n", suffixed(len(c.Items), "addresses", "address"))
		return
	}
	writeTable(e, rows, []column[crawlRow]{
		{Name: "ADDRESS", Value: func(r crawlRow) string { return r.bmc.Address.String() }},
		{Name: "BMC", Value: func(r crawlRow) string { return dash(r.bmc.Driver) }},
		{Name: "IS", Value: func(r crawlRow) string { return r.is() }},
		{Name: "MACHINE", Value: func(r crawlRow) string { return dash(r.system.MachineName) }},
		{Name: "SYSTEM", Value: func(r crawlRow) string { return dash(r.system.ID) }, Wide: true},
		{Name: "MODEL", Value: func(r crawlRow) string { return dash(strings.TrimSpace(r.system.Vendor + " " + r.system.Model)) }},
		{Name: "SERIAL", Value: func(r crawlRow) string { return dash(r.system.Serial) }},
		{Name: "POWER", Value: func(r crawlRow) string { return dash(string(r.system.Power)) }},
		{Name: "MACS", Value: func(r crawlRow) string { return dash(strings.Join(r.system.MACs, " ")) }, Wide: true},
		{Name: "UUID", Value: func(r crawlRow) string { return dash(r.system.UUID) }, Wide: true},
		{Name: "FIRMWARE", Value: func(r crawlRow) string { return dash(r.system.Firmware) }, Wide: true},
		{Name: "WHY, AND WHAT TO DO", Value: func(r crawlRow) string { return dash(r.todo()) }, Whole: true},
	})
	line := fmt.Sprintf("%s, %d new, %d known, %d registered", suffixed(bmcsIn(c), "BMCs", "BMC"), systemsIn(c, sprout.SystemNew), systemsIn(c, sprout.SystemKnown), systemsIn(c, sprout.SystemRegistered))
	fmt.Fprintln(e.stderr, line)
}

// is says what became of an address, or of one system behind it.
func (r crawlRow) is() string {
	if r.system.State != "" {
		return string(r.system.State)
	}
	return string(r.bmc.State)
}

func (r crawlRow) todo() string {
	why, remedy := r.bmc.Why, r.bmc.Remedy
	if r.system.State != "" {
		why, remedy = r.system.Why, r.system.Remedy
	}
	if why == "" || remedy == "" {
		return why + remedy
	}
	return why + ": " + remedy
}

// bmcsIn counts the addresses at which there is a BMC.
func bmcsIn(c api.Crawl) (n int) {
	for _, f := range c.Items {
		if f.State != sprout.BMCSilent && f.State != sprout.BMCOther {
			n++
		}
	}
	return n
}

// systemsIn counts the systems that are so.
func systemsIn(c api.Crawl, state sprout.SystemState) (n int) {
	for _, f := range c.Items {
		for _, s := range f.Systems {
			if s.State == state {
				n++
			}
		}
	}
	return n
}
