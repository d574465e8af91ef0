package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"reflect"

	"sprout"
	"sprout/api"
)

// ExportAudit streams the audit: see gets every line as it came, the end's too,
// and must not keep it. A stream that breaks off before its end is Unavailable;
// last is then the record to go on after.
func (c *Client) ExportAudit(ctx context.Context, in api.ExportAudit, see func(line []byte) error) (end api.AuditEnd, last int64, err error) {
	last = in.After
	request, err := newRequest(ctx, c, api.AuditExport.Spec(), reflect.ValueOf(in))
	if err != nil {
		return end, last, err
	}
	request.Header.Set("Accept", "application/x-ndjson")
	answer, err := c.do(request)
	if err != nil {
		return end, last, err
	}
	defer answer.Body.Close() // read to its end below
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(make([]byte, 64<<10), longestLine)
	for records := int64(0); lines.Scan(); records++ {
		seq, err := readAuditLine(lines.Bytes(), &end)
		switch {
		case err != nil:
			return end, last, cutOff(last, err.Error())
		case end.End && end.Records != records:
			return api.AuditEnd{}, last, cutOff(last, "some of its lines are missing")
		}
		if err := see(lines.Bytes()); err != nil {
			return end, last, err
		}
		if end.End {
			return end, end.Last, nil
		}
		last = seq
	}
	if err := lines.Err(); err != nil {
		return end, last, cutOff(last, err.Error())
	}
	return end, last, cutOff(last, "it ended without its last line")
}

// readAuditLine reads the number of a record, or the end.
func readAuditLine(line []byte, end *api.AuditEnd) (seq int64, err error) {
	if bytes.HasPrefix(line, []byte(`{"end":`)) {
		return 0, json.Unmarshal(line, end)
	}
	var record struct {
		Seq int64 `json:"seq"`
	}
	err = json.Unmarshal(line, &record)
	return record.Seq, err
}

func cutOff(last int64, why string) error {
	return sprout.Errorf(sprout.Unavailable, "cannot export all: the stream was cut off after record %d: %s", last, why).WithRemedy("sprout audit export --after %d", last)
}
