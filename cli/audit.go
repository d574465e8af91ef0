package cli

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func auditCommand(e *env) *cobra.Command {
	return group("audit", "Who asked for what, and what came of it.", auditListCommand(e), auditShowCommand(e), auditExportCommand(e), auditVerifyCommand(e))
}

// filterAudit adds the flags that narrow the audit.
func filterAudit(c *cobra.Command, filter *api.AuditFilter) {
	var since, until string
	flags, run := c.Flags(), c.RunE
	flags.StringVar(&filter.Subject, "subject", "", "only of what has this name or id")
	flags.StringVar(&filter.Actor, "actor", "", "only by the token or agent of this name")
	flags.StringVar(&filter.Action, "action", "", `only this operation or step, such as "machine deploy"`)
	flags.StringVar(&filter.Outcome, "outcome", "", "only done, refused or failed")
	flags.StringVar((*string)(&filter.Kind), "kind", "", "only what a request, a workflow or the system did")
	flags.StringVar(&since, "since", "", "only since then: 2h, 7d, 2026-01-31, or 2026-01-31T08:00:00Z")
	flags.StringVar(&until, "until", "", "only before then")
	c.RunE = func(c *cobra.Command, args []string) (err error) {
		if filter.Since, err = parseMoment("--since", since); err != nil {
			return err
		}
		if filter.Until, err = parseMoment("--until", until); err != nil {
			return err
		}
		return run(c, args)
	}
}

// parseMoment reads a time, a date of this place, or how long ago; "" is none.
func parseMoment(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, text, time.Local); err == nil {
		return t, nil
	}
	seconds, err := parseExpiry(flag, text)
	if err != nil {
		return time.Time{}, sprout.InvalidField(flag, "%q is no time such as 2h, 7d, 2026-01-31 or 2026-01-31T08:00:00Z", text)
	}
	return time.Now().Add(-time.Duration(seconds) * time.Second), nil
}

func auditListCommand(e *env) *cobra.Command {
	var in api.ListAudit
	c := listCommand(e, api.AuditList, &in, listing[sprout.AuditRecord]{
		Example: "  sprout audit list --subject web-01\n  sprout audit list --actor ci --outcome refused --since 7d -o wide", None: "no records", Grows: true,
		Columns: []column[sprout.AuditRecord]{
			{Name: "SEQ", Value: func(r sprout.AuditRecord) string { return strconv.FormatInt(r.Seq, 10) }},
			{Name: "AT", Value: func(r sprout.AuditRecord) string { return moment(r.At) }},
			{Name: "ACTOR", Value: func(r sprout.AuditRecord) string { return r.Actor }},
			{Name: "ACTION", Value: func(r sprout.AuditRecord) string { return r.Action }},
			{Name: "SUBJECT", Value: func(r sprout.AuditRecord) string { return cmp.Or(r.Name, r.Subject) }},
			{Name: "OUTCOME", Value: func(r sprout.AuditRecord) string { return r.Outcome }},
			{Name: "DETAIL", Value: func(r sprout.AuditRecord) string { return r.Detail }},
			{Name: "CHANGES", Value: func(r sprout.AuditRecord) string { return strings.Join(changeWords(r.Changes), "; ") }, Wide: true},
			{Name: "KIND", Value: func(r sprout.AuditRecord) string { return string(r.Kind) }, Wide: true},
			{Name: "SOURCE", Value: func(r sprout.AuditRecord) string { return r.Source }, Wide: true},
			{Name: "REQUEST", Value: func(r sprout.AuditRecord) string { return r.Request }, Wide: true},
		},
	})
	filterAudit(c, &in.AuditFilter)
	return c
}

// changeWords writes what is different, a field each.
func changeWords(changes []sprout.FieldChange) (words []string) {
	for _, c := range changes {
		switch {
		case len(c.From) == 0:
			words = append(words, fmt.Sprintf("%s: %s", c.Field, c.To))
		case len(c.To) == 0:
			words = append(words, fmt.Sprintf("%s: %s → none", c.Field, c.From))
		default:
			words = append(words, fmt.Sprintf("%s: %s → %s", c.Field, c.From, c.To))
		}
	}
	return words
}

func auditShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show NUMBER", Short: api.AuditShow.Help, Args: takes(1, 1, "the number of the record"), Example: "  sprout audit show 1234",
		RunE: func(c *cobra.Command, args []string) error {
			seq, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || seq < 1 {
				return sprout.InvalidField("record", "%q is no number of a record", args[0]).WithRemedy("sprout audit list")
			}
			r, err := call(c.Context(), e, api.AuditShow, api.AuditRef{Seq: seq})
			if err != nil {
				return err
			}
			return e.answer(r, func() {
				writeLines(e.stdout, []line{
					{"Record", strconv.FormatInt(r.Seq, 10)}, {"At", moment(r.At)}, {"Kind", string(r.Kind)}, {"Actor", r.Actor}, {"Token", string(r.Token)},
					{"Source", r.Source}, {"Action", r.Action}, {"Subject", strings.TrimSpace(r.Name + " " + r.Subject)}, {"Site", string(r.Site)},
					{"Outcome", r.Outcome}, {"Detail", r.Detail}, {"Request", r.Request}, {"Hash", r.Hash},
				})
				for _, w := range changeWords(r.Changes) {
					fmt.Fprintln(e.stdout, " ", w)
				}
			})
		},
	}
}

func auditVerifyCommand(e *env) *cobra.Command {
	var in api.VerifyAudit
	var file string
	c := &cobra.Command{
		Use: "verify", Short: api.AuditVerify.Help, Args: takes(0, 0, "no arguments"),
		Example: "  sprout audit verify\n  sprout audit verify --head 1234:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08   # a head that was kept elsewhere",
		RunE: func(c *cobra.Command, _ []string) error {
			if file != "" {
				return e.verifyFile(file, in.Head)
			}
			check, err := call(c.Context(), e, api.AuditVerify, in)
			if err != nil {
				return err
			}
			if !check.Intact {
				return notIntact(check)
			}
			return e.say(check, "the audit is intact: %d records, head %d:%s", check.Records, check.Head.Records, check.Head.Hash)
		},
	}
	c.Flags().StringVar(&file, "file", "", "follow the chain of this exported file instead, without a control plane; a --head proves it")
	c.Flags().StringVar(&in.Head, "head", "", "RECORDS:HASH of a head that was kept elsewhere, which the chain must still hold")
	return c
}

func notIntact(check api.AuditCheck) error {
	if check.BadSeq == 0 {
		return sprout.Errorf(sprout.Conflict, "the audit is not intact: %s", check.Reason)
	}
	return sprout.Errorf(sprout.Conflict, "the audit is not intact at record %d: %s", check.BadSeq, check.Reason)
}
