package audit_test

import (
	"fmt"
	"slices"
	"strings"
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
			Subject: "mch_1", Name: fmt.Sprint("m", i), Outcome: "done", Detail: "image debian-12", Request: "r1"}
		r.Hash = audit.Hash(prev, r)
		prev = r.Hash
		list = append(list, r)
	}
	return list
}

func TestVerifyTakesAWholeChain(t *testing.T) {
	list := chain(5)
	if err := audit.Verify("", 0, list); err != nil {
		t.Error(err)
	}
	if err := audit.Verify(list[1].Hash, 2, list[2:]); err != nil {
		t.Errorf("from the middle: %v", err)
	}
	list[2].At = list[2].At.In(time.FixedZone("elsewhere", 3600)) // the same instant
	if err := audit.Verify("", 0, list); err != nil {
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
		err := audit.Verify("", 0, tamper(chain(5)))
		if err == nil || !strings.Contains(err.Error(), "record 3") && !strings.Contains(err.Error(), "after 2") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
