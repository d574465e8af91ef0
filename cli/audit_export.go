package cli

import (
	"bufio"
	"fmt"

	"github.com/spf13/cobra"

	"sprout/api"
)

func auditExportCommand(e *env) *cobra.Command {
	var in api.ExportAudit
	c := &cobra.Command{
		Use: "export", Short: api.AuditExport.Help, Args: takes(0, 0, "no arguments"),
		Example: "  sprout audit export >audit.jsonl\n  sprout audit export --after 120000 >>audit.jsonl\n  sprout audit verify --file audit.jsonl",
		RunE: func(c *cobra.Command, _ []string) error {
			control, err := e.client()
			if err != nil {
				return err
			}
			out := bufio.NewWriterSize(e.stdout, 64<<10)
			_, _, err = control.ExportAudit(c.Context(), in, func(line []byte) error {
				if _, err := out.Write(line); err != nil {
					return fmt.Errorf("cannot write the export: %w", err)
				}
				return out.WriteByte('\n')
			})
			if flushErr := out.Flush(); err == nil && flushErr != nil {
				err = fmt.Errorf("cannot write the export: %w", flushErr)
			}
			return err
		},
	}
	filterAudit(c, &in.AuditFilter)
	c.Flags().Int64Var(&in.After, "after", 0, "only records after this number: what an export that was cut off lacks")
	return c
}
