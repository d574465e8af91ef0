package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/audit"
	"sprout/hwtest"
	"sprout/hwtest/builtin"
	"sprout/store"
)

// tests lists every test there is: those that come with Sprout, and those that
// operators have added.
func (s *Server) tests(ctx context.Context) ([]sprout.Test, error) {
	all, err := s.store.Tests(ctx)
	for _, e := range builtin.Library() {
		all = append(all, e.Test)
	}
	return all, err
}

func (s *Server) testList(ctx context.Context, in *api.ListTests) (out api.Page[sprout.Test], err error) {
	all, err := s.tests(ctx)
	if err != nil {
		return out, err
	}
	all = slices.DeleteFunc(all, func(t sprout.Test) bool { return in.Kind != "" && t.Kind != in.Kind })
	return paged(store.Cut("test", all, page(in.Paging), func(t sprout.Test) string { return t.Name }))
}

// findTest finds a test by name, digest or the unique beginning of either.
func (s *Server) findTest(ctx context.Context, ref string) (t sprout.Test, err error) {
	defer func() { seen(ctx, err, "", sprout.TestSubject(t.Name), t.Name) }()
	all, err := s.tests(ctx)
	if err != nil {
		return t, err
	}
	return match("test", ref, all, func(t sprout.Test) []string { return []string{t.Name, t.Digest} })
}

func (s *Server) testShow(ctx context.Context, in *api.TestRef) (sprout.Test, error) {
	return s.findTest(ctx, in.Test)
}

// testAdd reads the executable to its end, and what it declares, before anything
// is recorded.
func (s *Server) testAdd(ctx context.Context, in *api.AddTest) (made sprout.Test, err error) {
	content, err := io.ReadAll(io.LimitReader(in.Content, hwtest.MostBytes+1))
	if err != nil {
		return made, sprout.Errorf(sprout.Unavailable, "cannot read the test to its end: %v", err).WithRemedy("send it again")
	}
	t, err := hwtest.Parse(in.Name, content)
	if err != nil {
		return made, err
	}
	if t.Program != "" {
		return made, sprout.InvalidField("content", "cannot use the test: its first line names a program of the ramdisk, which only Sprout's own tests are")
	}
	if t.Name == sprout.RestartsTest || slices.ContainsFunc(builtin.Library(), func(e hwtest.Executable) bool { return e.Name == t.Name }) {
		e := sprout.Errorf(sprout.Conflict, "cannot add test %s: one that comes with Sprout has this name", t.Name)
		e.Field = "name"
		return made, e.WithRemedy("sprout test add with another name")
	}
	t.By = actor(ctx)
	err = s.change(ctx, api.TestAdd.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) (err error) {
		var fresh bool
		if made, fresh, err = s.store.AddTest(ctx, tx, t, content); err != nil {
			return err
		}
		about(r, "", sprout.TestSubject(made.Name), made.Name)
		r.Detail = made.Digest
		if fresh {
			r.Changes = audit.Diff(nil, made)
		}
		return nil
	})
	return made, err
}

func (s *Server) testDelete(ctx context.Context, in *api.TestRef) (api.None, error) {
	t, err := s.findTest(ctx, in.Test)
	if err != nil {
		return api.None{}, err
	}
	if t.Builtin {
		return api.None{}, sprout.Errorf(sprout.Conflict, "cannot delete test %s: it comes with Sprout", t.Name).WithRemedy("do not ask for it")
	}
	return api.None{}, s.change(ctx, api.TestDelete.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) error {
		about(r, "", sprout.TestSubject(t.Name), t.Name)
		r.Detail, r.Changes = t.Digest, audit.Diff(t, nil)
		return s.store.DeleteTest(ctx, tx, t.Name)
	})
}

// testContent serves the executable with ranges; it never changes, so the digest
// is its tag.
func (s *Server) testContent(ctx context.Context, in *api.TestRef) (api.Download, error) {
	t, err := s.findTest(ctx, in.Test)
	if err != nil {
		return api.Download{}, err
	}
	content, err := s.executable(ctx, t)
	if err != nil {
		return api.Download{}, err
	}
	return api.Download{Serve: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("ETag", `"`+t.Digest+`"`)
		http.ServeContent(&contentWriter{ResponseWriter: w, request: r}, r, "", time.Time{}, strings.NewReader(string(content)))
	}}, nil
}

func (s *Server) executable(ctx context.Context, t sprout.Test) ([]byte, error) {
	for _, e := range builtin.Library() {
		if e.Digest == t.Digest {
			return e.Content, nil
		}
	}
	return s.store.TestContent(ctx, t.Digest)
}

func (s *Server) testHistory(ctx context.Context, in *api.ListTestRecords) (out api.Page[sprout.TestRecord], err error) {
	f := store.ResultFilter{Test: in.Test, Device: in.Device, Serial: in.Serial, Outcome: in.Outcome, Page: page(in.Paging)}
	if f.Sites, err = s.sitesOf(ctx, in.Site); err != nil {
		return out, err
	}
	if in.Machine != "" {
		m, err := s.findRow(ctx, in.Machine)
		if err != nil {
			return out, err
		}
		f.Machine = m.ID
	}
	return paged(s.store.TestResults(ctx, f))
}

// testRuns makes runs of the tests that were asked for. The ramdisk's own run at
// every commissioning, so that they are none.
func (s *Server) testRuns(ctx context.Context, m sprout.Machine, c api.Commission) ([]sprout.TestRun, error) {
	switch {
	case c.SkipTests && len(c.Tests) > 0:
		return nil, sprout.InvalidField("tests", "cannot run tests and skip them")
	case c.SkipTests && strings.TrimSpace(c.SkipReason) == "":
		return nil, sprout.InvalidField("skipReason", "cannot skip the hardware tests without a reason, which is recorded and shown").WithRemedy("--skip-tests \"why\"")
	case !c.SkipTests && c.SkipReason != "":
		return nil, sprout.InvalidField("skipReason", "is a reason to skip tests, and they are not skipped")
	}
	var runs []sprout.TestRun
	asked := map[string]bool{}
	for i, choice := range c.Tests {
		field := fmt.Sprintf("tests[%d]", i)
		t, err := s.findTest(ctx, choice.Test)
		if err != nil {
			return nil, sprout.Within(field, err)
		}
		if asked[t.Name] {
			return nil, sprout.InvalidField(field+".test", "cannot run %s twice in one commissioning: its results would have one name", t.Name)
		}
		asked[t.Name] = true
		run, err := hwtest.Choose(t, choice.Parameters, field+".parameters")
		if err != nil {
			return nil, err
		}
		if err := mayDestroy(m, t, c, field); err != nil {
			return nil, err
		}
		if t.Program == "" {
			runs = append(runs, run)
		}
	}
	return runs, nil
}

// mayDestroy refuses a test that overwrites disks unless that was said, and the
// machine may lose what is on them.
func mayDestroy(m sprout.Machine, t sprout.Test, c api.Commission, field string) error {
	switch {
	case !t.Destructive:
		return nil
	case m.Protected:
		return protected("run "+t.Name+" on", m)
	case !c.Destructive:
		return sprout.InvalidField(field+".test", "cannot run %s: it overwrites the disks of machine %s, and that was not allowed", t.Name, m.Name).WithRemedy("--destructive")
	}
	return nil
}
