package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"sprout"
	"sprout/api"
	"sprout/audit"
)

// A follower follows the chain of an exported file. It believes no record alone:
// each must follow from the hash before it, the first one too.
type follower struct {
	v      audit.Verifier
	known  sprout.AuditHead    // that the file must hold, where its hash is set
	held   bool                // it does
	first  *sprout.AuditRecord // where the file does not begin with record 1
	proved bool                // it follows from the hash before it
	end    *api.AuditEnd       // the last line so far, where that is an end
	found  *audit.Finding      // the first
}

// verifyFile follows the chain of an exported file, without a control plane.
func (e *env) verifyFile(path, head string) error {
	known, err := headFlag(head)
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return sprout.InvalidField("--file", "cannot read it: %v", err)
	}
	defer file.Close() //nolint:errcheck // only read
	f := follower{known: known}
	if err := f.follow(file); err != nil {
		return sprout.InvalidField("--file", "cannot read the line after record %d: %v", f.v.Seq, err)
	}
	if err := f.judge(); err != nil {
		return err
	}
	from := int64(1)
	if f.first != nil {
		from = f.first.Seq
	}
	if head != "" {
		return e.say(f.end.Head, "the file is proved: records %d to %d, by the head %s", from, f.v.Seq, head)
	}
	return e.say(f.end.Head, "the file is intact in itself: records %d to %d. It is proved if the control plane holds its end: sprout audit verify --head %d:%s",
		from, f.v.Seq, f.end.Head.Records, f.end.Head.Hash)
}

// headFlag reads RECORDS:HASH; "" is none.
func headFlag(text string) (head sprout.AuditHead, err error) {
	if text == "" {
		return head, nil
	}
	number, hash, _ := strings.Cut(text, ":")
	if head.Records, err = strconv.ParseInt(number, 10, 64); err != nil || head.Records < 1 || len(hash) != 64 {
		return head, sprout.InvalidField("--head", "%.100q is no head such as 1234:9f86d0…", text).WithRemedy("sprout audit verify")
	}
	head.Hash = hash
	return head, nil
}

// follow reads the file to its end, also behind a finding: the last line may say
// that the file is only a part.
func (f *follower) follow(file io.Reader) error {
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 64<<10), 32<<20)
	for lines.Scan() {
		take := f.takeRecord
		if bytes.HasPrefix(lines.Bytes(), []byte(`{"end":`)) {
			take = f.takeEnd
		}
		err := take(lines.Bytes())
		var found *audit.Finding
		if err != nil && !errors.As(err, &found) {
			return err
		}
		if f.found == nil {
			f.found = found
		}
	}
	return lines.Err()
}

func (f *follower) takeRecord(line []byte) error {
	f.end = nil
	var r sprout.AuditRecord
	if err := json.Unmarshal(line, &r); err != nil {
		return err
	}
	switch {
	case f.found != nil:
		return nil // what follows proves nothing any more
	case f.v.Seq == 0 && r.Seq > 1:
		f.first, f.v = &r, audit.Verifier{Seq: r.Seq, Hash: r.Hash} // the end tells what it must follow
	default:
		if err := f.v.Next(r); err != nil {
			return err
		}
	}
	return f.meet(r.Seq, r.Hash)
}

// meet compares what the file says of a record with the head that is known.
func (f *follower) meet(seq int64, hash string) error {
	if f.known.Hash == "" || seq != f.known.Records {
		return nil
	}
	f.held = hash == f.known.Hash
	if !f.held {
		return &audit.Finding{Seq: seq, Reason: fmt.Sprintf("cannot trust the file up to record %d: it has another hash than in the head that was kept", seq)}
	}
	return nil
}

func (f *follower) takeEnd(line []byte) error {
	f.end = &api.AuditEnd{}
	if err := json.Unmarshal(line, f.end); err != nil {
		return err
	}
	if f.end.Part || f.end.Head == nil || f.found != nil {
		return nil
	}
	if err := f.proveFirst(*f.end); err != nil {
		return err
	}
	if h := f.end.Head; h.Records != f.v.Seq || h.Hash != f.v.Hash {
		return &audit.Finding{Seq: f.v.Seq, Reason: fmt.Sprintf("cannot trust the file up to record %d: it does not end in its head %d, or some records were left out", f.v.Seq, h.Records)}
	}
	return nil
}

// proveFirst holds a first record that is not number 1 to the hash before it,
// which the last line of its export tells.
func (f *follower) proveFirst(end api.AuditEnd) error {
	switch {
	case f.v.Seq == 0: // no record at all: the end must be where it begins
		f.v = audit.Verifier{Seq: end.After, Hash: end.Hash}
		return f.meet(end.After, end.Hash)
	case f.first == nil || f.proved || f.first.Seq <= end.After:
		return nil // judge asks whether it is proved
	}
	before := audit.Verifier{Seq: end.After, Hash: end.Hash}
	if err := before.Next(*f.first); err != nil {
		return err
	}
	f.proved = true
	return f.meet(end.After, end.Hash)
}

// judge says what the file does not prove.
func (f *follower) judge() error {
	switch {
	case f.end != nil && f.end.Part:
		return sprout.Errorf(sprout.Conflict, "cannot prove the file: only some of the records were exported, and nothing shows whether others were removed").
			WithRemedy("sprout audit export, without a filter and with a token of every site")
	case f.found != nil:
		return notIntact(api.AuditCheck{BadSeq: f.found.Seq, Reason: f.found.Reason})
	case f.end == nil:
		return sprout.Errorf(sprout.Conflict, "cannot prove the file: it is not whole, as it has no last line after record %d", f.v.Seq).WithRemedy("sprout audit export --after %d", f.v.Seq)
	case f.end.Head == nil:
		return sprout.Errorf(sprout.Conflict, "cannot prove the file: it has no head").WithRemedy("sprout audit export, with a token of every site")
	case f.first != nil && !f.proved:
		return sprout.Errorf(sprout.Conflict, "cannot prove record %d, the first in the file: the last line of its export, which tells the hash before it, is missing", f.first.Seq).
			WithRemedy("sprout audit export --after %d", f.first.Seq-1)
	case f.known.Hash != "" && !f.held:
		return sprout.Errorf(sprout.Conflict, "cannot prove the file by the head of record %d: it does not hold that record", f.known.Records)
	}
	return nil
}
