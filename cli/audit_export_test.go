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

// exportOf is what an export of n records after one reads, its end last.
func exportOf(t *testing.T, after, n int64) (lines []string) {
	t.Helper()
	add := func(v any) {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(raw))
	}
	hash, before := "", ""
	for seq := range n {
		r := sprout.AuditRecord{Seq: seq + 1, Kind: sprout.AuditRequest, Actor: "ann", Action: "machine lock", Name: fmt.Sprint("m", seq), Outcome: "done"}
		hash = audit.Hash(hash, r)
		r.Hash = hash
		if r.Seq > after {
			add(r)
		}
		if r.Seq == after {
			before = hash
		}
	}
	add(api.AuditEnd{End: true, Records: n - after, Last: n, After: after, Hash: before, Head: &sprout.AuditHead{Records: n, Hash: hash}})
	return lines
}

// changed puts one text in place of another in line i.
func changed(lines []string, i int, from, to string) []string {
	lines[i] = strings.Replace(lines[i], from, to, 1)
	return lines
}

// A file that was exported says by itself whether somebody changed it; a head
// that was kept proves it, also where all of it was made anew.
func TestVerifyFile(t *testing.T) {
	export := func() []string { return exportOf(t, 0, 5) }
	later := func() []string { return exportOf(t, 2, 5) }
	anew := strings.Split(strings.ReplaceAll(strings.Join(export(), "\n"), "ann", "bob"), "\n")
	hash := ""
	for i := range 5 {
		var r sprout.AuditRecord
		if err := json.Unmarshal([]byte(anew[i]), &r); err != nil {
			t.Fatal(err)
		}
		old := r.Hash
		hash = audit.Hash(hash, r)
		anew[i] = strings.Replace(anew[i], old, hash, 1)
		anew[5] = strings.Replace(anew[5], old, hash, 1)
	}
	var last sprout.AuditRecord
	if err := json.Unmarshal([]byte(export()[4]), &last); err != nil {
		t.Fatal(err)
	}
	kept := "5:" + last.Hash
	for name, c := range map[string]struct {
		lines []string
		head  string
		code  int
		says  string
	}{
		"whole":                     {export(), "", exitDone, "intact in itself: records 1 to 5"},
		"whole, and proved":         {export(), kept, exitDone, "the file is proved: records 1 to 5"},
		"grew since the head":       {exportOf(t, 0, 9), kept, exitDone, "the file is proved: records 1 to 9"},
		"began later":               {later(), "", exitDone, "records 3 to 5"},
		"began at the head":         {exportOf(t, 5, 9), kept, exitDone, "the file is proved: records 6 to 9"},
		"nothing new":               {exportOf(t, 5, 5), kept, exitDone, "the file is proved"},
		"went on":                   {slices.Concat(exportOf(t, 0, 3), exportOf(t, 3, 5)), kept, exitDone, "records 1 to 5"},
		"went on after a cut":       {slices.Concat(exportOf(t, 0, 5)[:3], exportOf(t, 3, 5)), kept, exitDone, "records 1 to 5"},
		"later, and went on":        {slices.Concat(exportOf(t, 2, 4), exportOf(t, 4, 5)), kept, exitDone, "records 3 to 5"},
		"later, cut, and went on":   {slices.Concat(exportOf(t, 2, 4)[:2], exportOf(t, 4, 5)), "", exitFailed, "cannot prove record 3"},
		"edited":                    {changed(export(), 2, "ann", "bob"), "", exitFailed, "not intact at record 3"},
		"first one edited":          {changed(export(), 0, "ann", "bob"), "", exitFailed, "not intact at record 1"},
		"first of a later edited":   {changed(later(), 0, "ann", "bob"), "", exitFailed, "not intact at record 3"},
		"last one edited":           {changed(export(), 4, "ann", "bob"), "", exitFailed, "not intact at record 5"},
		"removed":                   {slices.Delete(export(), 1, 2), "", exitFailed, "not intact at record 2"},
		"first one gone":            {slices.Delete(export(), 0, 1), "", exitFailed, "not intact at record 1"},
		"first of a later gone":     {slices.Delete(later(), 0, 1), "", exitFailed, "not intact at record 3"},
		"last one gone":             {slices.Delete(export(), 4, 5), "", exitFailed, "does not end in its head"},
		"all gone":                  {export()[5:], "", exitFailed, "does not end in its head"},
		"reordered":                 {slices.Concat(export()[:1], export()[2:3], export()[1:2], export()[3:]), "", exitFailed, "not intact at record 2"},
		"said twice":                {slices.Concat(export()[:2], export()[1:]), "", exitFailed, "not intact at record 3"},
		"cut off":                   {export()[:3], "", exitFailed, "sprout audit export --after 3"},
		"cut in a line":             {append(export()[:3], `{"seq":`), "", exitUsage, "after record 3"},
		"of another kind":           {[]string{"hello"}, "", exitUsage, "cannot read the line after record 0"},
		"empty":                     {nil, "", exitFailed, "not whole"},
		"made anew":                 {anew, "", exitDone, "It is proved if the control plane holds its end"},
		"made anew, against a head": {anew, kept, exitFailed, "not intact at record 5: cannot trust the file"},
		"another chain's head":      {export(), "7:" + last.Hash, exitFailed, "cannot prove the file by the head of record 7"},
		"no head":                   {export(), "5:abc", exitUsage, "is no head such as"},
		"filtered":                  {changed(slices.Delete(export(), 1, 3), 3, `"last"`, `"part":true,"last"`), "", exitFailed, "only some of the records were exported"},
		"of one site":               {changed(export(), 5, `,"head"`, `,"part":true,"was"`), "", exitFailed, "only some of the records were exported"},
		"filtered, and hidden":      {slices.Delete(export(), 1, 3), "", exitFailed, "not intact at record 2"},
		"head removed":              {changed(export(), 5, `,"head"`, `,"was"`), "", exitFailed, "it has no head"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.jsonl")
			if err := os.WriteFile(path, []byte(strings.TrimPrefix(strings.Join(append(c.lines, ""), "\n"), "\n")), 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{"audit", "verify", "--file", path}
			if c.head != "" {
				args = append(args, "--head", c.head)
			}
			code, out, errs := typed(t, args...)
			if code != c.code || !strings.Contains(out+errs, c.says) {
				t.Errorf("exit code %d: %s%s", code, out, errs)
			}
		})
	}
}
