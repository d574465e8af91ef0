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
// microseconds, which is what PostgreSQL keeps.
func canonical(r sprout.AuditRecord) []byte {
	at := r.At.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano)
	raw, err := json.Marshal([]any{r.Seq, r.Site, at, r.Actor, r.Action, r.Subject, r.Name, r.Outcome, r.Detail, r.Request})
	if err != nil {
		panic(fmt.Sprintf("cannot encode an audit record: %v", err)) // strings and a number always encode
	}
	return raw
}

// Verify checks a run of records in order, the first of which follows a record
// with hash prev and number seq (both zero at the start of the chain). The
// error names the first record that was changed, removed or moved.
func Verify(prev string, seq int64, records []sprout.AuditRecord) error {
	for _, r := range records {
		if r.Seq != seq+1 {
			return fmt.Errorf("cannot trust the audit record after %d: the next one found is %d", seq, r.Seq)
		}
		if Hash(prev, r) != r.Hash {
			return fmt.Errorf("cannot trust audit record %d (%s, %s): its hash does not match", r.Seq, r.Action, r.At.UTC().Format(time.RFC3339))
		}
		prev, seq = r.Hash, r.Seq
	}
	return nil
}
