package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
)

// openEvents makes a store whose event log is ready, and where it is now.
func openEvents(t *testing.T) (*store.Store, store.Position) {
	t.Helper()
	s := storetest.New(t)
	if err := s.OpenEvents(t.Context()); err != nil {
		t.Fatal(err)
	}
	now, err := s.EventsNow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s, now
}

// imageNamed makes an image: one event of its name.
func imageNamed(ctx context.Context, s *store.Store, tx pgx.Tx, name string) error {
	_, err := s.CreateImage(ctx, tx, sprout.Image{Name: name, Digest: "sha256:" + name, Compression: "none", Architecture: sprout.AMD64})
	return err
}

// readAll reads what is there after from, in parts of limit, taking every
// position through its text.
func readAll(t *testing.T, s *store.Store, from store.Position, limit int) (list []sprout.WatchEvent, at store.Position) {
	t.Helper()
	at = from
	for {
		part, err := s.EventsAfter(t.Context(), at, store.EventFilter{}, limit)
		if err != nil || part.Lost {
			t.Fatalf("after %s: lost %v, %v", at, part.Lost, err)
		}
		list = append(list, part.List...)
		if len(part.List) > 0 && part.List[len(part.List)-1].ID != part.At.String() {
			t.Fatalf("the last event's id is %s, the position %s", part.List[len(part.List)-1].ID, part.At)
		}
		if at, err = store.ParsePosition(part.At.String()); err != nil {
			t.Fatal(err)
		}
		if !part.More {
			return list, at
		}
	}
}

func eventNames(list []sprout.WatchEvent) (names []string) {
	for _, e := range list {
		names = append(names, e.Name)
	}
	return names
}

// A transaction takes its number first and commits last. Nobody waits for it;
// it is seen once it has committed, and never if it is rolled back.
func TestASlowTransactionIsNeitherSkippedNorWaitedFor(t *testing.T) {
	s, start := openEvents(t)
	begun, commit, ended := make(chan struct{}, 2), make(chan struct{}), make(chan error, 2)
	refused := errors.New("refused")
	for name, outcome := range map[string]error{"slow": nil, "refused": refused} {
		go func() {
			ended <- s.Tx(context.Background(), func(ctx context.Context, tx pgx.Tx) error {
				err := imageNamed(ctx, s, tx, name)
				begun <- struct{}{}
				<-commit
				return errors.Join(err, outcome)
			})
		}()
		<-begun
	}
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
		return errors.Join(imageNamed(ctx, s, tx, "a"), imageNamed(ctx, s, tx, "b"), imageNamed(ctx, s, tx, "c"))
	})
	first, at := readAll(t, s, start, 2)
	if got := eventNames(first); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("while one is slow we see %v", got)
	}
	close(commit)
	for range 2 {
		if err := <-ended; err != nil && !errors.Is(err, refused) {
			t.Fatal(err)
		}
	}
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error { return imageNamed(ctx, s, tx, "d") })
	if second, _ := readAll(t, s, at, 2); !slices.Equal(eventNames(second), []string{"slow", "d"}) {
		t.Errorf("then we see %v", eventNames(second))
	}
	// From each id on, the rest is seen: nothing is lost or repeated.
	whole, _ := readAll(t, s, start, 100)
	for i, e := range first {
		from, err := store.ParsePosition(e.ID)
		if err != nil {
			t.Fatal(err)
		}
		rest, _ := readAll(t, s, from, 1)
		got := slices.Sorted(slices.Values(append(eventNames(first[:i+1]), eventNames(rest)...)))
		if !slices.Equal(got, slices.Sorted(slices.Values(eventNames(whole)))) {
			t.Errorf("resumed after %s (%s): %v in all", e.Name, e.ID, got)
		}
	}
}

// Writers commit, are slow and roll back side by side, while readers read in
// small parts: each reader sees each committed event once, those of one writer
// in order, and the two events of a transaction beside each other.
func TestNoEventIsLostOrRepeated(t *testing.T) {
	s, start := openEvents(t)
	const writers, each = 8, 25
	var writing sync.WaitGroup
	turn := make(chan struct{}) // a slow writer goes on when another has committed
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				err := s.Tx(context.Background(), func(ctx context.Context, tx pgx.Tx) error {
					if err := errors.Join(imageNamed(ctx, s, tx, fmt.Sprintf("w%d-%02d-a", w, i)), imageNamed(ctx, s, tx, fmt.Sprintf("w%d-%02d-b", w, i))); err != nil {
						return err
					}
					if i%3 == 1 && w%2 == 0 {
						select {
						case <-turn:
						case <-time.After(20 * time.Millisecond): // the others have ended
						}
					}
					if i%5 == 4 {
						return context.Canceled // rolled back
					}
					return nil
				})
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				select {
				case turn <- struct{}{}:
				default:
				}
			}
		})
	}
	written := make(chan struct{})
	go func() { writing.Wait(); close(written) }()
	var reading sync.WaitGroup
	for _, limit := range []int{1, 3, 1000} {
		reading.Go(func() {
			var all []sprout.WatchEvent
			at := start
			for over := false; !over; {
				select {
				case <-written:
					over = true // and once more
				default:
				}
				var list []sprout.WatchEvent
				list, at = readAll(t, s, at, limit)
				all = append(all, list...)
			}
			checkSeen(t, eventNames(all), writers, each)
		})
	}
	reading.Wait()
}

func checkSeen(t *testing.T, names []string, writers, each int) {
	t.Helper()
	last := map[string]string{}
	for i, name := range names {
		if writer := name[:2]; name <= last[writer] {
			t.Errorf("%s comes after %s", name, last[writer])
		} else {
			last[writer] = name
		}
		if name[6:] == "b" && (i == 0 || names[i-1][:6] != name[:6]) {
			t.Errorf("%s is apart from the other event of its transaction", name)
		}
	}
	if want := writers * each * 4 / 5 * 2; len(names) != want {
		t.Errorf("%d events were seen, want %d", len(names), want)
	}
}

// What happens to one subject in one transaction is one event, with the site of
// the machine, the state it moved to, and the name of what is gone.
func TestEventsSayWhatHappened(t *testing.T) {
	s, before := openEvents(t)
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
		_, err := s.MoveMachine(ctx, tx, m.ID, sprout.Commissioned, "test", "")
		p := sprout.Problem{Site: site.ID, Subject: string(m.ID), Name: "m1", Code: sprout.TestFailed, Severity: sprout.Critical, Reason: "loss"}
		return errors.Join(err, s.SetPower(ctx, tx, m.ID, sprout.PowerOn, time.Now()), s.RaiseProblem(ctx, tx, p), s.RaiseProblem(ctx, tx, p))
	})
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error { return start(ctx, s, tx, "wfl_1", site.ID, m.ID) })
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
		run, err := s.In(tx).GetRun(ctx, "wfl_1")
		run.State, run.EndedAt = sprout.Succeeded, time.Now()
		return errors.Join(err, s.SaveRun(ctx, tx, run))
	})
	told, at := readAll(t, s, before, 100)
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error { return s.DeleteMachine(ctx, tx, m.ID) })
	last, _ := readAll(t, s, at, 100)
	var got []string
	for _, e := range append(told, last...) {
		if e.Site != site.ID || e.SiteName != "lon1" || e.At == nil {
			t.Errorf("%s %s is of site %q %q at %v", e.Noun, e.Subject, e.Site, e.SiteName, e.At)
		}
		if (e.Machine == m.ID) == (e.Noun == sprout.NounSite) {
			t.Errorf("%s %s is about machine %q", e.Noun, e.Subject, e.Machine)
		}
		got = append(got, fmt.Sprintf("%s %s %s %s", e.Noun, e.Name, e.What, e.State))
	}
	if want := []string{
		"site lon1 created ",
		"machine m1 created registered",
		"machine m1 changed ready", "problem m1 changed open",
		"machine m1 changed ", "workflow m1 created running",
		"workflow m1 changed succeeded", "machine m1 changed ",
		"problem m1 deleted open", "machine m1 deleted ",
	}; !slices.Equal(got, want) {
		t.Errorf("events %q,\nwant %q", got, want)
	}
	only, err := s.EventsAfter(t.Context(), before, store.EventFilter{Sites: sprout.At(site.ID), Nouns: []sprout.Noun{sprout.NounProblem}}, 100)
	if err != nil || len(only.List) != 2 {
		t.Errorf("of the problem: %v, %v", only.List, err)
	}
}

// Who stayed away for longer than events are kept is told so.
func TestWhatIsPrunedIsNotPassedOver(t *testing.T) {
	s, start := openEvents(t)
	for i := range 10 {
		inTx(t, s, func(ctx context.Context, tx pgx.Tx) error { return imageNamed(ctx, s, tx, fmt.Sprintf("i%d", i)) })
	}
	whole, end := readAll(t, s, start, 100)
	for more, rounds := true, 0; more; rounds++ {
		var err error
		if more, err = s.PruneEvents(t.Context(), time.Hour, 4, 3); err != nil || rounds > 3 {
			t.Fatal(rounds, err)
		}
	}
	for i, e := range whole {
		from, err := store.ParsePosition(e.ID)
		if err != nil {
			t.Fatal(err)
		}
		part, err := s.EventsAfter(t.Context(), from, store.EventFilter{}, 100)
		if err != nil || i < 5 && !part.Lost || i > 5 && part.Lost || !part.Lost && len(part.List) != len(whole)-1-i {
			t.Errorf("after %s: lost %v and %d events, %v", e.Name, part.Lost, len(part.List), err)
		}
		if rest, _ := readAll(t, s, part.At, 100); part.Lost && len(rest) > 0 {
			t.Errorf("a reader that begins anew sees %v", eventNames(rest))
		}
	}
	if _, err := s.PruneEvents(t.Context(), 0, 100, 100); err != nil {
		t.Fatal(err)
	}
	if part, err := s.EventsAfter(t.Context(), end, store.EventFilter{}, 1); err != nil || part.Lost {
		t.Errorf("who had seen all lost something: %v %v", part, err)
	}
}

// The numbers of transactions of another cluster mean nothing here.
func TestAnotherClustersPositionIsRefused(t *testing.T) {
	s, start := openEvents(t)
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error { return imageNamed(ctx, s, tx, "before") })
	restored := func(sql string) {
		if _, err := s.Pool().Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	restored(`UPDATE event_log SET epoch = '00000000000000aa'`)
	for range 2 { // a connection that is made anew changes nothing
		if err := s.OpenEvents(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if part, err := s.EventsAfter(t.Context(), store.Position{}, store.EventFilter{}, 10); err != nil || len(part.List) != 0 {
		t.Errorf("%v, %v", part.List, err)
	}
	var left int
	if err := s.Pool().QueryRow(t.Context(), `SELECT count(*) FROM event`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d rows of the other cluster are left, %v", left, err)
	}
	restored(`UPDATE event_log SET epoch = '00000000000000bb'`)
	if part, err := s.EventsAfter(t.Context(), start, store.EventFilter{}, 10); err != nil || !part.Lost {
		t.Errorf("a position of another cluster is taken: %v %v", part, err)
	}
}

func TestPositionsAreChecked(t *testing.T) {
	for _, text := range []string{"", "x", "0123456789abcdef/1:2", "0123456789abcdef/5:2:", "0123456789abcdef/0:2:", "0123456789abcdef/1:5:4,3",
		"0123456789abcdef/2:5:1", "0123456789abcdef/2:5:5", "0123456789abcdef/2:5:/2:6:", "0123456789abcdef/2:5:/6:2:/1.1", "0123456789abcdef/2:5:/2:6:/1.x",
		"0123456789abcdef/2:99999999999999999999:"} {
		_, err := store.ParsePosition(text)
		wantKind(t, err, sprout.Invalid)
	}
	for _, text := range []string{"0123456789abcdef/5:5:", "0123456789abcdef/2:5:2,4/2:9:2/7.31"} {
		if p, err := store.ParsePosition(text); err != nil || p.String() != text {
			t.Errorf("%s becomes %s, %v", text, p, err)
		}
	}
}

// Whoever asks for what is new reads that, however much is kept.
func TestEventsReadWhatIsNew(t *testing.T) {
	pool := storetest.NewPool(t, func(c *pgxpool.Config) { c.MaxConns = 1 }) // one session counts its own reads
	s := store.New(pool, store.Config{Key: storetest.Key(t)})
	if err := s.OpenEvents(t.Context()); err != nil {
		t.Fatal(err)
	}
	const kept = 50_000
	_, err := pool.Exec(t.Context(), `INSERT INTO event (what, subject, site, machine, name, state)
		SELECT 'changed', 'mch_' || n, '', '', '', '' FROM generate_series(1, $1) n`, kept)
	if err != nil {
		t.Fatal(err)
	}
	now, err := s.EventsNow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pages := func() (n int64) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), `SELECT pg_stat_force_next_flush()`); err != nil {
			t.Fatal(err)
		}
		err := pool.QueryRow(t.Context(), `SELECT idx_blks_hit + idx_blks_read FROM pg_statio_user_tables WHERE relname = 'event'`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := pages()
	part, err := s.EventsAfter(t.Context(), now, store.EventFilter{}, 100)
	if err != nil || len(part.List) != 0 {
		t.Fatalf("%d events, %v", len(part.List), err)
	}
	if read := pages() - before; read < 1 || read > 20 {
		t.Errorf("to see that nothing is new read %d pages of the index: 1 to 20 are expected, however many events are kept", read)
	}
}
