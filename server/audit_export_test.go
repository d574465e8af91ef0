package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/audit"
	"sprout/client"
	"sprout/server"
	"sprout/store/storetest"
)

// exported follows the chain of an export, up to a record or its end.
func exported(t *testing.T, p plane, in api.ExportAudit, v *audit.Verifier, until int64) (end api.AuditEnd, lines int64, err error) {
	t.Helper()
	end, _, err = p.admin.ExportAudit(t.Context(), in, func(line []byte) error {
		var r sprout.AuditRecord
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		if r.Seq == 0 {
			return nil // the end
		}
		if lines++; lines > until {
			return errEnough
		}
		return v.Next(r)
	})
	return end, lines, err
}

var errEnough = errors.New("enough")

// Thousands of records are streamed in parts, each once and in order, and what
// is exported carries the chain. One that stopped goes on where it was.
func TestAuditExportStreamsAndGoesOn(t *testing.T) {
	url := storetest.NewURL(t)
	p := run(t, func(c *server.Config) { c.Database.URL = url })
	site := must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	const many = 3210
	db := must(pgx.Connect(t.Context(), url))(t)
	defer db.Close(t.Context()) //nolint:errcheck // the database is dropped
	_, err := db.Exec(t.Context(), `
		INSERT INTO audit_unsealed (site, at, kind, actor, token, source, action, subject, name, outcome, detail, changes, request)
		SELECT '', now(), 'system', 'sprout', '', '', 'synthetic', 's' || i, 'a <b> & ' || i, 'done', '', '[{"field":"x","to":"<&>"}]', '' FROM generate_series(1, $1::int) AS i`, many)
	if err != nil {
		t.Fatal(err)
	}

	var v audit.Verifier
	end, lines, err := exported(t, p, api.ExportAudit{}, &v, many*2)
	if err != nil || lines <= many || end.Records != lines || end.Last != v.Seq || end.Head == nil || end.Head.Hash != v.Hash || end.Head.Records != v.Seq {
		t.Fatalf("%d lines up to %+v, %+v, %v", lines, v, end, err)
	}
	whole, middle := v, ""
	v = audit.Verifier{}
	if _, _, err := exported(t, p, api.ExportAudit{}, &v, 1500); !errors.Is(err, errEnough) || v.Seq != 1500 {
		t.Fatalf("it stopped at %d: %v", v.Seq, err)
	}
	middle = v.Hash
	end, lines, err = exported(t, p, api.ExportAudit{After: v.Seq}, &v, many*2)
	if err != nil || v != whole || end.Records != lines || lines != whole.Seq-1500 || end.After != 1500 || end.Hash != middle || end.Part {
		t.Errorf("it went on for %d lines up to %+v, %+v, %v", lines, v, end, err)
	}
	if _, _, err = exported(t, p, api.ExportAudit{After: whole.Seq + 1}, &v, 1); sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("after the end: %v", err)
	}

	var named api.ExportAudit
	named.Action = "synthetic"
	end, _, err = p.admin.ExportAudit(t.Context(), named, func([]byte) error { return nil })
	if err != nil || end.Records != many || end.Last != whole.Seq || !end.Part {
		t.Errorf("only what is asked for: %+v, %v", end, err)
	}
	var token api.CreateToken
	token.Body.Name, token.Body.Role, token.Body.Sites = "ours", sprout.Viewer, []string{"lon1"}
	ours := must(client.Call(t.Context(), p.admin, api.TokenCreate, token))(t)
	end, _, err = p.as(t, ours.Secret).ExportAudit(t.Context(), api.ExportAudit{}, func(line []byte) error {
		var r sprout.AuditRecord
		if err := json.Unmarshal(line, &r); err != nil || r.Seq != 0 && r.Site != site.ID {
			return fmt.Errorf("%w: not of the site: %s", err, line)
		}
		return nil
	})
	if err != nil || end.Records != 2 || end.Head != nil || !end.Part { // the site's and the token's own
		t.Errorf("a token of one site: %+v, %v", end, err)
	}
}

// So many exports run at once; one more is refused, and none after they ended.
func TestAuditExportsAreBounded(t *testing.T) {
	p := run(t)
	release := p.HoldExports()
	if answer, fault := p.ask(t, "GET", "/v1/audit/export", p.token, ""); answer.status != 503 || fault.Kind != sprout.Unavailable {
		t.Errorf("one too many: %d %+v", answer.status, fault)
	}
	release()
	for range 10 {
		if _, _, err := p.admin.ExportAudit(t.Context(), api.ExportAudit{}, func([]byte) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
}
