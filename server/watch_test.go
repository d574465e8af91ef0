package server_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/client"
	"sprout/server"
	"sprout/store"
	"sprout/store/storetest"
)

// watching runs a control plane and opens its database beside it.
func watching(t *testing.T, change ...func(*server.Config)) (plane, *store.Store) {
	t.Helper()
	url := storetest.NewURL(t)
	p := run(t, append([]func(*server.Config){func(c *server.Config) { c.Database.URL = url }}, change...)...)
	return p, beside(t, url)
}

func beside(t *testing.T, url string) *store.Store {
	t.Helper()
	s := must(store.Open(t.Context(), url, 8, store.Config{}))(t)
	t.Cleanup(s.Close)
	return s
}

// A seer collects what a watch yields.
type seer struct {
	t      *testing.T
	events chan sprout.WatchEvent
	ended  chan error
}

// watch starts to watch and returns once the stream is open.
func watch(t *testing.T, c *client.Client, in api.WatchEvents) seer {
	t.Helper()
	s := seer{t, make(chan sprout.WatchEvent, 10_000), make(chan error, 1)}
	go func() {
		defer close(s.events)
		for e, err := range c.Watch(t.Context(), in) {
			if err != nil {
				s.ended <- err
				return
			}
			s.events <- e
		}
	}()
	if in.LastEventID == "" {
		if e := s.next(); e.What != sprout.Opened || e.ID == "" {
			t.Fatalf("the stream begins with %+v", e)
		}
	}
	return s
}

func (s seer) next() sprout.WatchEvent {
	s.t.Helper()
	select {
	case e, ok := <-s.events:
		if !ok {
			s.t.Fatalf("the watch has ended: %v", <-s.ended)
		}
		return e
	case <-time.After(time.Minute):
		s.t.Fatal("nothing was told for a minute")
	}
	return sprout.WatchEvent{}
}

// until takes events up to the one of the name.
func (s seer) until(name string) (list []sprout.WatchEvent) {
	s.t.Helper()
	for {
		e := s.next()
		list = append(list, e)
		if e.Name == name {
			return list
		}
	}
}

// imageNamed makes an image: one event of its name.
func imageNamed(ctx context.Context, s *store.Store, name string) error {
	return s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := s.CreateImage(ctx, tx, sprout.Image{Name: name, Digest: "sha256:" + name, Compression: "none", Architecture: sprout.AMD64})
		return err
	})
}

func TestWatchTellsWhatChangesInItsScope(t *testing.T) {
	p, s := watching(t)
	for _, name := range []string{"lon1", "par1"} {
		must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed(name)))(t)
	}
	var in api.CreateToken
	in.Body.Name, in.Body.Role, in.Body.Sites = "london", sprout.Viewer, []string{"lon1"}
	london := must(client.Call(t.Context(), p.admin, api.TokenCreate, in))(t)
	whole := watch(t, p.admin, api.WatchEvents{Resource: true})
	only := watch(t, p.as(t, london.Secret), api.WatchEvents{})
	problems := watch(t, p.admin, api.WatchEvents{Noun: []sprout.Noun{sprout.NounProblem, sprout.NounImage}})
	for _, site := range []string{"par1", "lon1"} {
		p.machine(t, site, "m-"+site, "52:54:00:00:00:21")
	}
	f := enrol(t, p, "lon1")
	w := must(client.Call(t.Context(), p.admin, api.MachineCommission, api.CommissionMachine{MachineRef: api.MachineRef{Machine: "m-lon1"}}))(t)
	work := string(w.ID) + "/1"
	f.await(func(c sprout.Change) bool { return c.Kind == sprout.ChangeWork && c.Key == work })
	if err := s.SaveLive(t.Context(), w.ID, sprout.Live{Work: work, Step: "write-image", Progress: &sprout.Progress{Done: 43, Total: 100, Unit: "B"}}); err != nil {
		t.Fatal(err)
	}
	for of := map[sprout.Noun]bool{}; len(of) < 2; { // the workflow and its machine
		e := whole.next()
		if (e.What == sprout.Progresses) != (e.ID == "") {
			t.Errorf("progress is in no log: %+v", e)
		}
		if e.What == sprout.Progresses && strings.Contains(string(e.Resource), "write-image") {
			of[e.Noun] = true
		}
	}
	f.report(sprout.FactWorkEnded, w.Machine, work, sprout.WorkResult{State: sprout.FailedRun, Failure: &sprout.Failure{Code: sprout.TestFailed, Step: "test", Reason: "loss"}})
	if e := problems.next(); e.Noun != sprout.NounProblem || e.Name != "m-lon1" || e.State != "open" || e.Resource != nil {
		t.Errorf("of problems: %+v", e)
	}
	if err := imageNamed(t.Context(), s, "last"); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range only.until("last") {
		if e.SiteName != "lon1" && e.Noun != sprout.NounImage {
			t.Errorf("a token of one site sees %+v", e)
		}
		seen[fmt.Sprintf("%s %s %s", e.Noun, e.What, e.State)] = true
	}
	for _, want := range []string{"machine created registered", "agent created ", "workflow created running", "workflow changed failed", "problem changed open", "image created "} {
		if !seen[want] {
			t.Errorf("nobody told that %s: %v", want, seen)
		}
	}
	if got := problems.until("last"); len(got) != 1 {
		t.Errorf("who watches problems and images sees %+v", got)
	}
	for _, e := range whole.until("last") {
		if e.Noun == sprout.NounMachine && (e.Name != "m-lon1" || !strings.Contains(string(e.Resource), `"name":"m-lon1"`)) {
			t.Errorf("the machine is %+v", e)
		}
	}
	// A token that is revoked sees nothing more, and is told why.
	must(client.Call(t.Context(), p.admin, api.TokenRevoke, api.TokenRef{Token: "london"}))(t)
	if err := <-only.ended; sprout.KindOf(err) != sprout.Denied {
		t.Errorf("a revoked token: %v", err)
	}
}

// A cutter sends requests to one replica after the other and cuts each answer
// off after a number of bytes that is another each time.
type cutter struct {
	urls []string
	n    atomic.Int64
}

func (c *cutter) RoundTrip(r *http.Request) (*http.Response, error) {
	n := int(c.n.Add(1))
	r.URL.Host = strings.TrimPrefix(c.urls[n%len(c.urls)], "http://")
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body := answer.Body
	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(body, int64(600+n*37%1500)), body}
	return answer, nil
}

// Two replicas, connections that break in the middle of an event, writers side
// by side, and a replica that stops: each event is told once.
func TestNothingIsLostWhereConnectionsBreak(t *testing.T) {
	url, dir := storetest.NewURL(t), t.TempDir()
	hub, _ := startHubAt(t, url, dir, "127.0.0.1:0")
	first := run(t, replica(t, "first", url, dir, hub.URL()))
	second := run(t, replica(t, "second", url, dir, hub.URL()))
	s := beside(t, url)
	steady := watch(t, second.admin, api.WatchEvents{})
	cut := &cutter{urls: []string{first.URL(), second.URL()}}
	broken := watch(t, must(client.New(client.Config{URL: first.URL(), Token: first.token, HTTP: &http.Client{Transport: cut}}))(t), api.WatchEvents{})
	const writers, each = 4, 15
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				if err := imageNamed(t.Context(), s, fmt.Sprintf("w%d-%02d", w, i)); err != nil {
					t.Error(err)
				}
				if w == 0 && i == each/2 {
					first.stop()
				}
			}
		})
	}
	writing.Wait()
	if err := imageNamed(t.Context(), s, "last"); err != nil {
		t.Fatal(err)
	}
	for name, watcher := range map[string]seer{"steady": steady, "broken": broken} {
		counts := map[string]int{}
		for len(counts) < writers*each+1 {
			e := watcher.next()
			if counts[e.Name]++; counts[e.Name] > 1 || e.Noun != sprout.NounImage {
				t.Fatalf("the %s watcher is told %+v, %d times", name, e, counts[e.Name])
			}
		}
	}
	if n := cut.n.Load(); n < 5 {
		t.Errorf("only %d connections were made", n)
	}
}

// raw opens a stream and returns its body, which nobody reads yet.
func (p plane) raw(t *testing.T, query, after string) *http.Response {
	t.Helper()
	small := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
		}
		return conn, err
	}}
	t.Cleanup(small.CloseIdleConnections)
	r := must(http.NewRequestWithContext(t.Context(), "GET", p.URL()+"/v1/events"+query, nil))(t)
	r.Header.Set("Authorization", "Bearer "+p.token)
	if after != "" {
		r.Header.Set("Last-Event-ID", after)
	}
	answer := must((&http.Client{Transport: small}).Do(r))(t)
	t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

// A client that does not read is told to resume once too much waits for it, and
// then gets what it has not seen.
func TestASlowClientIsToldToResume(t *testing.T) {
	p, s := watching(t)
	site := must(client.Call(t.Context(), p.admin, api.SiteCreate, siteNamed("lon1")))(t)
	m := p.machine(t, site.Name, "m1", "52:54:00:00:00:21")
	slow := p.raw(t, "?resource=true&noun=machine", "")
	quick := watch(t, p.admin, api.WatchEvents{Noun: []sprout.Noun{sprout.NounMachine}})
	const changes = 30 // of half a megabyte: more than sockets and queue hold
	if err := s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE machine SET inventory = jsonb_build_object('serial', repeat('x', 512000)) WHERE id = $1`, m.ID)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for i := range changes {
		tags := []string{fmt.Sprint(i)}
		if err := s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			err := s.UpdateMachine(ctx, tx, m.ID, store.MachineChange{Tags: &tags})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		quick.next() // who reads is not held up by who does not
	}
	text := string(must(io.ReadAll(slow.Body))(t)) // to its end: the server ends it
	if !strings.HasSuffix(text, "\n\n") || !strings.Contains(text, "event: resume\ndata: {\"what\":\"resume\",\"reason\":\"the client reads too slowly\"}") {
		t.Fatalf("the stream of %d bytes ends with %.300q", len(text), text[max(0, len(text)-300):])
	}
	told := strings.Count(text, "event: changed\n")
	if told == 0 || told >= changes {
		t.Fatalf("%d of %d events were told before", told, changes)
	}
	_, last, _ := strings.Cut(text[strings.LastIndex(text, "\nid: "):], "id: ")
	last, _, _ = strings.Cut(last, "\n")
	rest := watch(t, p.admin, api.WatchEvents{Noun: []sprout.Noun{sprout.NounMachine}, LastEventID: last})
	for range changes - told {
		rest.next()
	}
	tags := []string{"end"}
	change := api.UpdateMachine{MachineRef: api.MachineRef{Machine: "m1"}}
	change.Body.Tags = &tags
	must(client.Call(t.Context(), p.admin, api.MachineUpdate, change))(t)
	if e := rest.next(); e.Name != "m1" || len(rest.events) > 0 {
		t.Errorf("told again: %+v and %d more", e, len(rest.events))
	}
}

// Who was away for longer than the log reaches back is told to list again; what
// is not an id is refused.
func TestWhoWasAwayForTooLongBeginsAnew(t *testing.T) {
	p, s := watching(t)
	began := watch(t, p.admin, api.WatchEvents{})
	for i := range 4 {
		if err := imageNamed(t.Context(), s, fmt.Sprint("i", i)); err != nil {
			t.Fatal(err)
		}
	}
	first := began.next().ID
	began.until("i3")
	if _, err := s.PruneEvents(t.Context(), time.Hour, 1, 100); err != nil {
		t.Fatal(err)
	}
	late := watch(t, p.admin, api.WatchEvents{LastEventID: first})
	if e := late.next(); e.What != sprout.Reset || e.ID == "" || e.Reason == "" {
		t.Errorf("who was away is told %+v", e)
	}
	if err := imageNamed(t.Context(), s, "after"); err != nil {
		t.Fatal(err)
	}
	if e := late.next(); e.Name != "after" {
		t.Errorf("and then %+v", e)
	}
	for _, err := range p.admin.Watch(t.Context(), api.WatchEvents{LastEventID: "yesterday"}) {
		if sprout.KindOf(err) != sprout.Invalid {
			t.Errorf("a wrong id: %v", err)
		}
	}
}

// A stream ends by the time that was asked for, and all end when the server
// stops, each with a word to resume.
func TestStreamsEndCleanly(t *testing.T) {
	p, _ := watching(t)
	began := time.Now()
	text := string(must(io.ReadAll(p.raw(t, "?for=1", "").Body))(t))
	if !strings.Contains(text, "event: open\n") || !strings.Contains(text, "event: resume\n") || time.Since(began) < time.Second {
		t.Errorf("after %s: %q", time.Since(began), text)
	}
	open := p.raw(t, "", "")
	p.stop()
	if text := string(must(io.ReadAll(open.Body))(t)); !strings.HasSuffix(text, "\"reason\":\"the server stops\"}\n\n") {
		t.Errorf("the stream ends with %q", text)
	}
}

// A reads counts the statements that read the event log.
type reads struct{ n atomic.Int64 }

func (r *reads) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if strings.Contains(q.SQL, "FROM event WHERE") {
		r.n.Add(1)
	}
	return ctx
}
func (*reads) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// However many watch, the log is read once for all; one token cannot take every
// stream.
func TestManyWatchersShareOneReader(t *testing.T) {
	count := &reads{}
	p, s := watching(t, func(c *server.Config) { c.Tracer = count })
	const watchers, changes = 250, 20
	many := make([]seer, watchers)
	for i := range many {
		many[i] = watch(t, p.admin, api.WatchEvents{Resource: true})
	}
	before := count.n.Load()
	for i := range changes {
		if err := imageNamed(t.Context(), s, fmt.Sprint("i", i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range many {
		if got := m.until(fmt.Sprint("i", changes-1)); len(got) != changes {
			t.Errorf("a watcher was told of %d of %d", len(got), changes)
		}
	}
	if n := count.n.Load() - before; n > 3*changes {
		t.Errorf("%d watchers of %d changes read the log %d times", watchers, changes, n)
	}
	ctx, stop := context.WithCancel(t.Context())
	var open []func() (sprout.WatchEvent, error, bool)
	var refused error
	for range 20 {
		next, end := iter.Pull2(p.admin.Watch(ctx, api.WatchEvents{}))
		defer end()
		if _, err, _ := next(); err != nil {
			refused = err
			break
		}
		open = append(open, next)
	}
	stop()
	if sprout.KindOf(refused) != sprout.Unavailable || len(open) != 256-watchers {
		t.Errorf("after %d streams: %v", watchers+len(open), refused)
	}
	other := watch(t, p.as(t, p.bearer(t, sprout.Viewer)), api.WatchEvents{})
	if err := imageNamed(t.Context(), s, "other"); err != nil {
		t.Fatal(err)
	}
	if got := other.until("other"); len(got) != 1 {
		t.Errorf("another token sees %v", got)
	}
}

// HEAD of the stream is answered and over: the next request on the connection does
// not wait behind it.
func TestHeadOfAStreamEnds(t *testing.T) {
	p := run(t)
	web := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}, Timeout: 10 * time.Second}
	for _, method := range []string{http.MethodHead, http.MethodGet} {
		path := map[string]string{http.MethodHead: "/v1/events", http.MethodGet: "/v1/tokens/self"}[method]
		r := must(http.NewRequestWithContext(t.Context(), method, p.URL()+path, nil))(t)
		r.Header.Set("Authorization", "Bearer "+p.token)
		answer, err := web.Do(r)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		_ = answer.Body.Close()
		if method == http.MethodHead && (answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream") {
			t.Errorf("%s %s is answered %s, %v", method, path, answer.Status, answer.Header)
		}
	}
}
