// Package audit is the record of who asked for what, and the chain that shows
// when somebody changed it. It must not know where records are kept.
package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"sprout"
)

// Hash returns the hash of r after a record with hash prev ("" for the first):
// SHA-256, in hexadecimal, over prev, a newline and the record's canonical
// form. The hash that r itself carries has no part in it.
func Hash(prev string, r sprout.AuditRecord) string {
	sum := sha256.Sum256(append([]byte(prev+"\n"), canonical(r)...))
	return hex.EncodeToString(sum[:])
}

// canonical is one JSON array of all fields in fixed order. Times are UTC in
// microseconds, which is what PostgreSQL keeps. A record that has none of the
// fields that came later is written as it was before they came: chains of old
// versions hold, and the length of the array tells the two apart.
func canonical(r sprout.AuditRecord) []byte {
	at := r.At.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano)
	fields := []any{r.Seq, r.Site, at, r.Actor, r.Action, r.Subject, r.Name, r.Outcome, r.Detail, r.Request}
	if r.Kind != "" || r.Token != "" || r.Source != "" || len(r.Changes) > 0 {
		fields = append(fields, r.Kind, r.Token, r.Source, r.Changes)
	}
	raw, err := json.Marshal(fields)
	if err != nil { // a change's value is none
		raw = fmt.Appendf(nil, "cannot encode: %v %v", fields, err) // no such record was ever sealed
	}
	return raw
}

// A Finding is the first record of a chain that is not as it was sealed.
type Finding struct {
	Seq    int64
	Reason string
}

func (f *Finding) Error() string { return f.Reason }

// A Verifier follows a chain record by record. Its zero value begins at the
// start of the chain.
type Verifier struct {
	Seq  int64  // the record that it saw last
	Hash string // its hash
}

// Next takes the record that follows. The error is a *Finding that names the
// first record that was changed, removed or moved.
func (v *Verifier) Next(r sprout.AuditRecord) error {
	if r.Seq != v.Seq+1 {
		return &Finding{v.Seq + 1, fmt.Sprintf("cannot trust the audit after record %d: record %d is missing, the next one found is %d", v.Seq, v.Seq+1, r.Seq)}
	}
	if Hash(v.Hash, r) != r.Hash {
		return &Finding{r.Seq, fmt.Sprintf("cannot trust audit record %d (%s by %s, %s): it is not what was sealed", r.Seq, r.Action, r.Actor, r.At.UTC().Format(time.RFC3339))}
	}
	v.Seq, v.Hash = r.Seq, r.Hash
	return nil
}
