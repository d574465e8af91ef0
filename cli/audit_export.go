package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
	"sprout/audit"
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

// verifyFile follows the chain of an exported file, without a control plane. One
// that begins later than the chain is taken at its first record's word.
func (e *env) verifyFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return sprout.InvalidField("--file", "cannot read it: %v", err)
	}
	defer f.Close() //nolint:errcheck // only read
	v, end, err := followFile(f)
	var found *audit.Finding
	switch {
	case errors.As(err, &found):
		return notIntact(api.AuditCheck{BadSeq: found.Seq, Reason: found.Reason})
	case err != nil:
		return err
	case end == nil:
		return sprout.Errorf(sprout.Conflict, "the file is intact up to record %d, and not whole: it has no last line", v.Seq).WithRemedy("sprout audit export --after %d", v.Seq)
	case end.Head == nil:
		return sprout.Errorf(sprout.Conflict, "cannot tell whether the file is whole: it was exported with a token of one site, and has no head")
	}
	return e.say(end.Head, "the file is intact: records up to %d, head %d:%s", v.Seq, end.Head.Records, end.Head.Hash)
}

// followFile returns how far it came, and the file's last line where that is the
// end of an export.
func followFile(r io.Reader) (v audit.Verifier, end *api.AuditEnd, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), 32<<20)
	for lines.Scan() {
		if bytes.HasPrefix(lines.Bytes(), []byte(`{"end":`)) {
			end = &api.AuditEnd{}
			if err := json.Unmarshal(lines.Bytes(), end); err != nil {
				return v, nil, unreadable(v, err)
			}
			if h := end.Head; h != nil && v.Seq > 0 && (h.Records != v.Seq || h.Hash != v.Hash) {
				return v, end, &audit.Finding{Seq: v.Seq, Reason: fmt.Sprintf("cannot trust the file up to record %d: it does not end in its head, or some records were left out", v.Seq)}
			}
			continue
		}
		end = nil
		var record sprout.AuditRecord
		if err := json.Unmarshal(lines.Bytes(), &record); err != nil {
			return v, nil, unreadable(v, err)
		}
		if v.Seq == 0 && record.Seq > 1 {
			v = audit.Verifier{Seq: record.Seq, Hash: record.Hash}
			continue
		}
		if err := v.Next(record); err != nil {
			return v, nil, err
		}
	}
	if err := lines.Err(); err != nil {
		return v, nil, unreadable(v, err)
	}
	return v, end, nil
}

func unreadable(v audit.Verifier, err error) error {
	return sprout.InvalidField("--file", "cannot read the line after record %d: %v", v.Seq, err)
}
