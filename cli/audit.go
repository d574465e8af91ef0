package cli

import (
	"cmp"
	"strconv"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func auditCommand(e *env) *cobra.Command {
	return group("audit", "Who asked for what, and what came of it.", auditListCommand(e), auditVerifyCommand(e))
}

func auditListCommand(e *env) *cobra.Command {
	var in api.ListAudit
	c := listCommand(e, api.AuditList, &in, listing[sprout.AuditRecord]{
		Example: "  sprout audit list --subject web-01", None: "no records", Grows: true,
		Columns: []column[sprout.AuditRecord]{
			{Name: "SEQ", Value: func(r sprout.AuditRecord) string { return strconv.FormatInt(r.Seq, 10) }},
			{Name: "AT", Value: func(r sprout.AuditRecord) string { return moment(r.At) }},
			{Name: "ACTOR", Value: func(r sprout.AuditRecord) string { return r.Actor }},
			{Name: "ACTION", Value: func(r sprout.AuditRecord) string { return r.Action }},
			{Name: "SUBJECT", Value: func(r sprout.AuditRecord) string { return cmp.Or(r.Name, r.Subject) }},
			{Name: "OUTCOME", Value: func(r sprout.AuditRecord) string { return r.Outcome }},
			{Name: "DETAIL", Value: func(r sprout.AuditRecord) string { return r.Detail }},
			{Name: "REQUEST", Value: func(r sprout.AuditRecord) string { return r.Request }, Wide: true},
			{Name: "HASH", Value: func(r sprout.AuditRecord) string { return r.Hash }, Wide: true},
		},
	})
	c.Flags().StringVar(&in.Subject, "subject", "", "only of what has this name or id")
	return c
}

func auditVerifyCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "verify", Short: api.AuditVerify.Help, Args: takes(0, 0, "no arguments"), Example: "  sprout audit verify",
		RunE: func(c *cobra.Command, _ []string) error {
			check, err := call(c.Context(), e, api.AuditVerify, struct{}{})
			if err != nil {
				return err
			}
			if !check.Intact {
				return sprout.Errorf(sprout.Conflict, "the audit is not intact at record %d: %s", check.BadSeq, check.Reason)
			}
			return e.say(check, "the audit is intact: %d records", check.Records)
		},
	}
}
