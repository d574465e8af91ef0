package store_test

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
)

func mustIP(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestMigrateAgainChangesNothing(t *testing.T) {
	pool := storetest.NewPool(t)
	if err := store.Migrate(t.Context(), pool, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	var jobs int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM river.river_job`).Scan(&jobs); err != nil {
		t.Errorf("River has no tables: %v", err)
	}
}

func TestSites(t *testing.T) {
	s := storetest.New(t)
	lon := storetest.Site(t, s, "lon1")
	create := func(name string) error {
		return s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			_, err := s.CreateSite(ctx, tx, sprout.Site{Name: name, Domain: "x"})
			return err
		})
	}
	wantField(t, create("lon1"), sprout.Conflict, "name")
	wantField(t, create("Lon 1"), sprout.Invalid, "name")
	for _, ref := range []string{"lon1", string(lon.ID)} {
		if got, err := s.FindSite(t.Context(), ref); err != nil || got.ID != lon.ID {
			t.Errorf("%s: %+v, %v", ref, got, err)
		}
	}
	_, err := s.FindSite(t.Context(), "par1")
	wantKind(t, err, sprout.NotFound)
	storetest.Machine(t, s, lon.ID, "m1", "52:54:00:00:00:01")
	remove := func(id sprout.SiteID) error {
		return s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error { return s.DeleteSite(ctx, tx, id) })
	}
	err = remove(lon.ID)
	wantKind(t, err, sprout.Conflict)
	if !strings.Contains(err.Error(), "m1 (registered)") {
		t.Errorf("it does not say what the site has: %v", err)
	}
	if err := remove(storetest.Site(t, s, "par1").ID); err != nil {
		t.Error(err)
	}
}

// What is made for a site that is just being deleted is refused: it is no defect.
func TestASiteThatIsDeletedMeanwhile(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1").ID
	late := make(chan error, 1)
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
		if err := s.DeleteSite(ctx, tx, site); err != nil {
			return err
		}
		go func() {
			late <- s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error { // it still sees the site
				_, _, err := s.CreateEnrolToken(ctx, tx, site, time.Hour)
				return err
			})
		}()
		for waiting := 0; waiting == 0; {
			if err := s.Pool().QueryRow(ctx, `SELECT count(*) FROM pg_locks WHERE NOT granted`).Scan(&waiting); err != nil {
				return err
			}
		}
		return nil
	})
	wantKind(t, <-late, sprout.Conflict)
}

func TestHeartbeatMakesAnAgentOnline(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	var a sprout.Agent
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) (err error) {
		a, err = s.EnrolAgent(ctx, tx, sprout.Agent{Site: site.ID, Name: "a", PublicKey: "U1", SealKey: "X1"})
		return err
	})
	if a.Online || a.SiteName != "lon1" || a.Wanted != 1 {
		t.Errorf("agent %+v", a)
	}
	beat := sprout.Beat{Site: site.ID, Heartbeat: sprout.Heartbeat{Agent: a.ID, Version: "v1", Address: "10.0.0.2", Applied: 1}}
	heard := func(b sprout.Beat, want int) {
		t.Helper()
		before, err := s.Heartbeats(t.Context(), []sprout.Beat{b})
		if err != nil || len(before) != want || want == 1 && (before[0].ID != a.ID || before[0].Online || before[0].Applied != a.Applied) {
			t.Errorf("%d agents are heard, want %d: %+v, %v", len(before), want, before, err)
		}
	}
	elsewhere := beat
	elsewhere.Site = "sit_other"
	heard(elsewhere, 0)
	heard(beat, 1)
	if a, err := s.AgentOf(t.Context(), site.ID); err != nil || !a.Online || a.Applied != 1 || a.Address != "10.0.0.2" {
		t.Errorf("agent %+v, %v", a, err)
	}
	if _, err := s.Pool().Exec(t.Context(), `UPDATE agent SET last_seen = now() - $1::interval`, sprout.OfflineAfter+time.Second); err != nil {
		t.Fatal(err)
	}
	if a, err := s.AgentByKey(t.Context(), "U1"); err != nil || a.Online {
		t.Errorf("agent %+v, %v", a, err)
	}
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error { return s.RetireAgent(ctx, tx, a.ID) })
	heard(beat, 0)
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error { // it comes back with its key
		_, err := s.EnrolAgent(ctx, tx, sprout.Agent{Site: site.ID, Name: "a", PublicKey: "U1", SealKey: "X1", Address: "not an address"})
		return err
	})
}

func TestProblemsAreOpenOnce(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	raise := func(code sprout.Code, reason string) {
		inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
			return s.RaiseProblem(ctx, tx, sprout.Problem{Site: site.ID, Subject: "mch_1", Name: "m1", Code: code, Severity: sprout.Critical, Reason: reason})
		})
	}
	raise(sprout.BMCDenied, "first")
	raise(sprout.BMCDenied, "second")
	raise(sprout.DiskFailed, "smart")
	list, _, err := s.Problems(t.Context(), store.ProblemFilter{Subject: "mch_1"})
	if err != nil || len(list) != 2 || list[0].Reason != "second" {
		t.Fatalf("problems %+v, %v", list, err)
	}
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
		n, err := s.ClearProblems(ctx, tx, "mch_1", sprout.BMCDenied)
		if n != 1 {
			t.Errorf("cleared %d", n)
		}
		return err
	})
	raise(sprout.BMCDenied, "anew")
	list, _, err = s.Problems(t.Context(), store.ProblemFilter{Sites: sprout.At(site.ID), Cleared: true})
	if err != nil || len(list) != 3 || list[0].ClearedAt == nil || list[2].Reason != "anew" {
		t.Errorf("problems %+v, %v", list, err)
	}
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
		n, err := s.ClearProblems(ctx, tx, "mch_1")
		if n != 2 {
			t.Errorf("cleared %d", n)
		}
		return err
	})
}

func TestImages(t *testing.T) {
	s := storetest.New(t)
	image := sprout.Image{Name: "debian-12", Digest: "sha256:1", Bytes: 1, Compression: "zstd", RawDigest: "sha256:2", RawBytes: 2,
		Architecture: sprout.AMD64, BootModes: []sprout.BootMode{sprout.BIOS, sprout.UEFI}}
	create := func() error {
		return s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			_, err := s.CreateImage(ctx, tx, image)
			return err
		})
	}
	if err := create(); err != nil {
		t.Fatal(err)
	}
	wantField(t, create(), sprout.Conflict, "name")
	for _, ref := range []string{"debian-12", "sha256:1"} {
		if got, err := s.FindImage(t.Context(), ref); err != nil || len(got.BootModes) != 2 || got.RawDigest != "sha256:2" {
			t.Errorf("%s: %+v, %v", ref, got, err)
		}
	}
	_, err := s.FindImage(t.Context(), "debian-13")
	wantKind(t, err, sprout.NotFound)
}

// A problem tells of each agent that fell silent, once, and is over when it is
// heard of again, also where nobody saw it come back.
func TestSilentAgentsAreAProblem(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	agent := enrolled(t, s, site.ID, "1")
	look := func(change string, want int) {
		t.Helper()
		if _, err := s.Pool().Exec(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := s.RaiseSilent(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		list, _, err := s.Problems(t.Context(), store.ProblemFilter{Sites: sprout.At(site.ID)})
		if err != nil || len(list) != want {
			t.Errorf("after %s: %+v, %v", change, list, err)
		}
	}
	look(`SELECT 1`, 0) // it has only just enrolled
	look(`UPDATE agent SET enrolled_at = now() - interval '11 s'`, 1)
	look(`UPDATE agent SET last_seen = now()`, 0)
	look(`UPDATE agent SET last_seen = now() - interval '9 s'`, 0)
	look(`UPDATE agent SET last_seen = now() - interval '11 s'`, 1)
	look(`UPDATE agent SET last_seen = now()`, 0)
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error { return s.RetireAgent(ctx, tx, agent) })
	look(`UPDATE agent SET last_seen = now() - interval '1 h'`, 0)
}
