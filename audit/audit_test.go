package audit_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"sprout"
	"sprout/audit"
)

func chain(n int) []sprout.AuditRecord {
	var list []sprout.AuditRecord
	prev := ""
	for i := range n {
		r := sprout.AuditRecord{Seq: int64(i + 1), Site: "sit_1", At: time.Unix(int64(i), 123000).UTC(), Actor: "ann", Action: "machine deploy",
			Subject: "mch_1", Name: fmt.Sprint("m", i), Outcome: "done", Detail: "image debian-12", Request: "r1",
			Kind: sprout.AuditRequest, Token: "tok_1", Source: "10.0.0.7", Changes: []sprout.FieldChange{{Field: "pool", To: json.RawMessage(`"a"`)}}}
		r.Hash = audit.Hash(prev, r)
		prev = r.Hash
		list = append(list, r)
	}
	return list
}

// follow verifies a chain that goes on after record seq with hash prev.
func follow(prev string, seq int64, list []sprout.AuditRecord) error {
	v := audit.Verifier{Seq: seq, Hash: prev}
	for _, r := range list {
		if err := v.Next(r); err != nil {
			return err
		}
	}
	return nil
}

// What version 0.1 sealed still holds: this hash was made by it.
func TestChainsOfOldVersionsHold(t *testing.T) {
	r := sprout.AuditRecord{Seq: 1, Site: "sit_1", At: time.Unix(5, 123000).UTC(), Actor: "ann", Action: "machine deploy", Subject: "mch_1", Name: "m1", Outcome: "done", Request: "r1"}
	const want = "3898e2544c611c9b800f4dc1117047e213e1f34a7ae600d02fb12c706d3f697d"
	if got := audit.Hash("", r); got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
	r.Kind = sprout.AuditRequest
	if audit.Hash("", r) == want {
		t.Error("the kind has no part in the hash")
	}
}

func TestVerifyTakesAWholeChain(t *testing.T) {
	list := chain(5)
	if err := follow("", 0, list); err != nil {
		t.Error(err)
	}
	if err := follow(list[1].Hash, 2, list[2:]); err != nil {
		t.Errorf("from the middle: %v", err)
	}
	list[2].At = list[2].At.In(time.FixedZone("elsewhere", 3600)) // the same instant
	if err := follow("", 0, list); err != nil {
		t.Errorf("in another time zone: %v", err)
	}
}

func TestVerifyNamesWhatWasTamperedWith(t *testing.T) {
	for name, tamper := range map[string]func(l []sprout.AuditRecord) []sprout.AuditRecord{
		"site":    func(l []sprout.AuditRecord) []sprout.AuditRecord { l[2].Site = "sit_2"; return l },
		"time":    func(l []sprout.AuditRecord) []sprout.AuditRecord { l[2].At = l[2].At.Add(time.Microsecond); return l },
		"actor":   func(l []sprout.AuditRecord) []sprout.AuditRecord { l[2].Actor = "bob"; return l },
		"action":  func(l []sprout.AuditRecord) []sprout.AuditRecord { l[2].Action = "machine show"; return l },
		"subject": func(l []sprout.AuditRecord) []sprout.AuditRecord { l[2].Subject = "mch_2"; return l },
		"name":    func(l []sprout.AuditRecord) []sprout.AuditRecord { l[2].Name = "x"; return l },
		"outcome": func(l []sprout.AuditRecord) []sprout.AuditRecord { l[2].Outcome = "refused"; return l },
		"detail":  func(l []sprout.AuditRecord) []sprout.AuditRecord { l[2].Detail = ""; return l },
		"request": func(l []sprout.AuditRecord) []sprout.AuditRecord { l[2].Request = "r2"; return l },
		"kind":    func(l []sprout.AuditRecord) []sprout.AuditRecord { l[2].Kind = sprout.AuditSystem; return l },
		"token":   func(l []sprout.AuditRecord) []sprout.AuditRecord { l[2].Token = "tok_2"; return l },
		"source":  func(l []sprout.AuditRecord) []sprout.AuditRecord { l[2].Source = "10.0.0.8"; return l },
		"change": func(l []sprout.AuditRecord) []sprout.AuditRecord {
			l[2].Changes[0].To = json.RawMessage(`"b"`)
			return l
		},
		"as of an old version": func(l []sprout.AuditRecord) []sprout.AuditRecord {
			l[2].Kind, l[2].Token, l[2].Source, l[2].Changes = "", "", "", nil
			return l
		},
		"no JSON": func(l []sprout.AuditRecord) []sprout.AuditRecord { l[2].Changes[0].To = json.RawMessage(`{`); return l },
		"moved text": func(l []sprout.AuditRecord) []sprout.AuditRecord {
			l[2].Subject, l[2].Name = "mch_1m", "2"
			return l
		},
		"hash":    func(l []sprout.AuditRecord) []sprout.AuditRecord { l[2].Hash = l[1].Hash; return l },
		"swapped": func(l []sprout.AuditRecord) []sprout.AuditRecord { l[2], l[3] = l[3], l[2]; return l },
		"removed": func(l []sprout.AuditRecord) []sprout.AuditRecord { return slices.Delete(l, 2, 3) },
		"hash made anew": func(l []sprout.AuditRecord) []sprout.AuditRecord {
			l[1].Actor = "bob"
			l[1].Hash = audit.Hash(l[0].Hash, l[1]) // record 3 gives it away
			return l
		},
	} {
		err := follow("", 0, tamper(chain(5)))
		var found *audit.Finding
		if !errors.As(err, &found) || found.Seq != 3 {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
