package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sprout"
	"sprout/api"
	"sprout/audit"
)

// exportOf is what an export of n records reads, its end last.
func exportOf(t *testing.T, n int64) (lines []string) {
	t.Helper()
	add := func(v any) {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(raw))
	}
	hash := ""
	for seq := range n {
		r := sprout.AuditRecord{Seq: seq + 1, Kind: sprout.AuditRequest, Actor: "ann", Action: "machine lock", Name: fmt.Sprint("m", seq), Outcome: "done"}
		hash = audit.Hash(hash, r)
		r.Hash = hash
		add(r)
	}
	add(api.AuditEnd{End: true, Records: n, Last: n, Head: &sprout.AuditHead{Records: n, Hash: hash}})
	return lines
}

// A file that was exported says by itself whether somebody changed it.
func TestVerifyFile(t *testing.T) {
	export := func() []string { return exportOf(t, 5) }
	edited := export()
	edited[2] = strings.Replace(edited[2], "ann", "bob", 1)
	for name, c := range map[string]struct {
		lines []string
		code  int
		says  string
	}{
		"whole":           {export(), exitDone, "the file is intact: records up to 5, head 5:"},
		"began later":     {export()[3:], exitDone, "records up to 5"},
		"went on":         {slices.Concat(exportOf(t, 3), export()[3:]), exitDone, "records up to 5"},
		"edited":          {edited, exitFailed, "not intact at record 3"},
		"removed":         {slices.Delete(export(), 1, 2), exitFailed, "not intact at record 2"},
		"last one gone":   {slices.Delete(export(), 4, 5), exitFailed, "does not end in its head"},
		"cut off":         {export()[:3], exitFailed, "sprout audit export --after 3"},
		"cut in a line":   {append(export()[:3], `{"seq":`), exitUsage, "after record 3"},
		"of another kind": {[]string{"hello"}, exitUsage, "cannot read the line after record 0"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.jsonl")
			if err := os.WriteFile(path, []byte(strings.Join(c.lines, "\n")+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			code, out, errs := typed(t, "audit", "verify", "--file", path)
			if code != c.code || !strings.Contains(out+errs, c.says) {
				t.Errorf("exit code %d: %s%s", code, out, errs)
			}
		})
	}
}
