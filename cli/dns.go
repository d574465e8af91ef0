package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func dnsCommand(e *env) *cobra.Command {
	return group("dns", "Names that a site answers for, and who may transfer and update its zones.",
		group("record", "DNS records of a site.", dnsRecordCreateCommand(e), dnsRecordListCommand(e), dnsRecordShowCommand(e),
			deleteCommand(e, "dns record", "rec_01jd3k", api.DNSRecordDelete, dnsRecordRef, e.dnsRecordLoss)),
		group("key", "Keys of a site: those that secondaries and updating clients show (TSIG), and those that sign its zones (DNSSEC).",
			dnsKeyCreateCommand(e), dnsKeyListCommand(e), dnsKeyShowCommand(e),
			deleteCommand(e, "dns key", "lon1/ns2", api.DNSKeyDelete, dnsKeyRef, e.dnsKeyLoss)),
		group("policy", "Who may do what with the zones of a site.", dnsPolicyShowCommand(e), dnsPolicySetCommand(e)))
}

func dnsRecordRef(ref string) api.DNSRecordRef { return api.DNSRecordRef{Record: ref} }

func dnsKeyRef(ref string) api.DNSKeyRef { return api.DNSKeyRef{Key: ref} }

func dnsRecordCreateCommand(e *env) *cobra.Command {
	var in api.CreateDNSRecord
	c := &cobra.Command{
		Use: "create NAME TYPE DATA", Short: api.DNSRecordCreate.Help, Args: takes(3, 3, "a name, a type and its data"),
		Long: "Publish a DNS record at a site: A, AAAA, CNAME, MX, PTR, SRV or TXT. A name without a dot is completed by the site's\n" +
			"domain, and @ is the domain itself; names in the data are written in full. Machines' names, forward and reverse, come and go by themselves.",
		Example: "  sprout dns record create www CNAME web-01.lon1.example --site lon1\n" +
			"  sprout dns record create @ MX \"10 mail.lon1.example\" --site lon1 --ttl 3600\n" +
			"  sprout dns record create _sip._tcp.lon1.example SRV \"0 5 5060 sip.lon1.example\" --site lon1",
		RunE: func(c *cobra.Command, args []string) error {
			in.Body.Name, in.Body.Type, in.Body.Data = args[0], args[1], args[2]
			if in.Body.Site == "" {
				return usage(c, "%s needs --site", c.CommandPath())
			}
			r, err := call(c.Context(), e, api.DNSRecordCreate, in)
			if err != nil {
				return err
			}
			return e.say(r, "%s %s %s is published (%s)", r.Name, r.Type, r.Data, r.ID)
		},
	}
	c.Flags().StringVar(&in.Body.Site, "site", "", "site that answers for it")
	c.Flags().IntVar(&in.Body.TTL, "ttl", 0, "seconds that resolvers may keep it (default 60)")
	return c
}

func dnsRecordListCommand(e *env) *cobra.Command {
	var in api.ListOfSite
	c := listCommand(e, api.DNSRecordList, &in, listing[sprout.Record]{
		Example: "  sprout dns record list --site lon1", None: "no DNS records: sprout dns record create NAME TYPE DATA --site SITE",
		Columns: []column[sprout.Record]{
			{Name: "NAME", Value: func(r sprout.Record) string { return r.Name }},
			{Name: "TYPE", Value: func(r sprout.Record) string { return r.Type }},
			{Name: "DATA", Value: func(r sprout.Record) string { return r.Data }},
			{Name: "TTL", Value: func(r sprout.Record) string { return strconv.Itoa(r.TTL) }},
			{Name: "SOURCE", Value: func(r sprout.Record) string { return r.Source }},
			{Name: "ID", Value: func(r sprout.Record) string { return string(r.ID) }},
		},
	})
	c.Flags().StringVar(&in.Site, "site", "", "only of this site")
	return c
}

func dnsRecordShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show RECORD", Short: api.DNSRecordShow.Help, Args: takes(1, 1, "the id of a DNS record"), Example: "  sprout dns record show rec_01jd3k",
		RunE: func(c *cobra.Command, args []string) error {
			r, err := call(c.Context(), e, api.DNSRecordShow, dnsRecordRef(args[0]))
			if err != nil {
				return err
			}
			return e.answer(r, func() {
				writeLines(e.stdout, []line{{"Name", r.Name}, {"Type", r.Type}, {"Data", r.Data}, {"TTL", strconv.Itoa(r.TTL)}, {"Source", r.Source}, {"Id", string(r.ID)}})
			})
		},
	}
}

func dnsKeyCreateCommand(e *env) *cobra.Command {
	var in api.CreateDNSKey
	c := &cobra.Command{
		Use: "create NAME", Short: api.DNSKeyCreate.Help, Args: takes(1, 1, "a name for the key"),
		Long: "Create a key of a site. One of TSIG is shown with its secret, once. With --algorithm ecdsap256sha256 the zones of the site are\n" +
			"signed with it from now on (DNSSEC); its secret nobody is shown, and the DS records that are printed are for the parents of the zones.",
		Example: "  sprout dns key create ns2 --site lon1\n  sprout dns key create ddns --site lon1 --algorithm hmac-sha512\n" +
			"  sprout dns key create zone-2026 --site lon1 --algorithm ecdsap256sha256",
		RunE: func(c *cobra.Command, args []string) error {
			if in.Body.Name = args[0]; in.Site == "" {
				return usage(c, "%s needs --site", c.CommandPath())
			}
			k, err := call(c.Context(), e, api.DNSKeyCreate, in)
			if err != nil {
				return err
			}
			return e.answer(k, func() {
				if k.DNSKEY != "" {
					e.showDNSKey(k)
					fmt.Fprintf(e.stderr, "the zones are signed; once their parents have the DS records, resolvers insist on it\n")
					return
				}
				fmt.Fprintf(e.stdout, "%s:%s:%s\n", k.Algorithm, k.Name, k.Secret)
				fmt.Fprintf(e.stderr, "this is the key as nsupdate -y and dig -y take it; its secret is not shown again\n")
			})
		},
	}
	c.Flags().StringVar(&in.Site, "site", "", "site of the key")
	c.Flags().StringVar(&in.Body.Algorithm, "algorithm", "", "hmac-sha256 or hmac-sha512 of TSIG, or ecdsap256sha256 to sign zones (default hmac-sha256)")
	return c
}

func dnsKeyListCommand(e *env) *cobra.Command {
	var in api.ListDNSKeys
	return listOf(e, api.DNSKeyList, &in, listing[sprout.DNSKey]{
		Example: "  sprout dns key list lon1", None: "no DNS keys: sprout dns key create NAME --site SITE",
		Columns: []column[sprout.DNSKey]{
			{Name: "NAME", Value: func(k sprout.DNSKey) string { return k.Name }},
			{Name: "ALGORITHM", Value: func(k sprout.DNSKey) string { return k.Algorithm }},
			{Name: "CREATED", Value: func(k sprout.DNSKey) string { return moment(k.CreatedAt) }},
		},
	}, "list SITE", 1, "the name of a site", func(args []string) { in.Site = args[0] })
}

func dnsKeyShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show KEY", Short: api.DNSKeyShow.Help, Args: takes(1, 1, "a key as SITE/NAME"), Example: "  sprout dns key show lon1/zone-2026",
		RunE: func(c *cobra.Command, args []string) error {
			k, err := call(c.Context(), e, api.DNSKeyShow, dnsKeyRef(args[0]))
			if err != nil {
				return err
			}
			return e.answer(k, func() { e.showDNSKey(k) })
		},
	}
}

func (e *env) showDNSKey(k sprout.DNSKey) {
	lines := []line{{"Name", k.Name}, {"Algorithm", k.Algorithm}, {"Created", moment(k.CreatedAt)}}
	if k.DNSKEY != "" {
		lines = append(lines, line{"DNSKEY", k.DNSKEY})
	}
	for _, ds := range k.DS {
		lines = append(lines, line{"DS", ds})
	}
	writeLines(e.stdout, lines)
}

func dnsPolicyShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show SITE", Short: api.DNSPolicyShow.Help, Args: takes(1, 1, "the name of a site"), Example: "  sprout dns policy show lon1",
		RunE: func(c *cobra.Command, args []string) error {
			p, err := call(c.Context(), e, api.DNSPolicyShow, api.SiteRef{Site: args[0]})
			if err != nil {
				return err
			}
			return e.answer(p, func() { e.showDNSPolicy(p) })
		},
	}
}

func (e *env) showDNSPolicy(p sprout.DNSPolicy) {
	writeLines(e.stdout, []line{
		{"Transfer", strings.Join(p.Transfer, ", ")}, {"Update", strings.Join(p.Update, ", ")},
		{"Notify", strings.Join(p.Notify, ", ")}, {"Forward", strings.Join(p.Forward, ", ")},
	})
}

func dnsPolicySetCommand(e *env) *cobra.Command {
	var in api.SetDNSPolicy
	c := &cobra.Command{
		Use: "set SITE", Short: api.DNSPolicySet.Help, Args: takes(1, 1, "the name of a site"),
		Long: "Say who may transfer and update the zones of a site, who is told of changes, and where other names are asked for. A flag\n" +
			"that is given replaces its list, and an empty one lets nobody; the lists of the others stay.",
		Example: "  sprout dns policy set lon1 --transfer key:ns2 --notify key:ns2@10.20.0.2\n" +
			"  sprout dns policy set lon1 --update key:ddns@10.20.0.0/24 --forward 9.9.9.9,1.1.1.1",
		RunE: func(c *cobra.Command, args []string) error {
			in.Site = args[0]
			now, err := call(c.Context(), e, api.DNSPolicyShow, api.SiteRef{Site: args[0]})
			if err != nil {
				return err
			}
			for flag, list := range map[string]struct{ to, is *[]string }{
				"transfer": {&in.Body.Transfer, &now.Transfer}, "update": {&in.Body.Update, &now.Update},
				"notify": {&in.Body.Notify, &now.Notify}, "forward": {&in.Body.Forward, &now.Forward},
			} {
				if !c.Flags().Changed(flag) {
					*list.to = *list.is
				}
			}
			p, err := call(c.Context(), e, api.DNSPolicySet, in)
			if err != nil {
				return err
			}
			return e.answer(p, func() { e.showDNSPolicy(p) })
		},
	}
	f := c.Flags()
	f.StringSliceVar(&in.Body.Transfer, "transfer", nil, "who may transfer zones: key:NAME, PREFIX or key:NAME@PREFIX")
	f.StringSliceVar(&in.Body.Update, "update", nil, "who may update zones: key:NAME or key:NAME@PREFIX")
	f.StringSliceVar(&in.Body.Notify, "notify", nil, "secondaries that are told of changes: ADDRESS, or key:NAME@ADDRESS")
	f.StringSliceVar(&in.Body.Forward, "forward", nil, "resolvers that hosts in the site's subnets reach through the agent")
	return c
}

func (e *env) dnsRecordLoss(ctx context.Context, ref string) (loss, error) {
	r, err := call(ctx, e, api.DNSRecordShow, dnsRecordRef(ref))
	if err != nil {
		return loss{}, err
	}
	l := loss{ID: string(r.ID), Name: r.Name, Destroys: []string{r.Name + " " + r.Type + " " + r.Data}}
	if r.Source != sprout.ManualRecord {
		l.Refused = "an update at the site made it, and an update takes it away"
	}
	return l, nil
}

// dnsKeyLoss tells what a key's policy names it for.
func (e *env) dnsKeyLoss(ctx context.Context, ref string) (loss, error) {
	site, name, _ := strings.Cut(ref, "/")
	keys, err := gather(ctx, e, api.DNSKeyList, api.ListDNSKeys{SiteRef: api.SiteRef{Site: site}}, 0)
	if err != nil {
		return loss{}, err
	}
	p, err := call(ctx, e, api.DNSPolicyShow, api.SiteRef{Site: site})
	if err != nil {
		return loss{}, err
	}
	for _, k := range keys {
		if k.Name != name {
			continue
		}
		l := loss{ID: ref, Name: ref, Destroys: []string{"its secret: who shows it is not known any more"}}
		if k.DNSKEY != "" {
			l.Destroys = []string{"its signatures: while a parent's DS names no other key of the site, resolvers that validate believe none of its names"}
		}
		for field, list := range map[string][]string{"transfer": p.Transfer, "update": p.Update, "notify": p.Notify} {
			for _, entry := range list {
				if named, _, _ := strings.Cut(strings.TrimPrefix(entry, "key:"), "@"); named == k.Name {
					l.UsedBy, l.Refused = append(l.UsedBy, "the policy: "+field+" "+entry), "the site's DNS policy names it"
				}
			}
		}
		return l, nil
	}
	return loss{}, sprout.Errorf(sprout.NotFound, "cannot find DNS key %q: name it as SITE/NAME", ref)
}
