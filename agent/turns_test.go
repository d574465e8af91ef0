package agent

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sprout"
)

// id names the nth attempt.
func id(n int) sprout.AttemptID { return sprout.AttemptID(fmt.Sprintf("att_%02d", n)) }

// asks has the nth machine ask for its turn.
func asks(t *turns, n int) sprout.Turn {
	turn, _, _ := t.ask(id(n), sprout.MachineID(fmt.Sprintf("mch_%02d", n)), 1e9, false)
	return turn
}

// whose lists those whose turn it is, of n machines.
func whose(t *turns, n int) (list []int) {
	for i := range n {
		if turn, ok := t.of(id(i)); ok && !turn.Waits && t.took(id(i)) {
			list = append(list, i)
		}
	}
	return list
}

func TestTurnsAreGivenInTheOrderOfAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTurns(2, 0, time.Now)
		for n := range 6 {
			asks(q, n)
		}
		if turn, _ := q.of(id(4)); turn != (sprout.Turn{Waits: true, Downloading: 2, Before: 2}) {
			t.Errorf("the fifth: %+v", turn)
		}
		for n := range 6 { // asking twice is one turn, and one place
			asks(q, n)
		}
		for _, want := range [][]int{{0, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 5}, {5}, nil} {
			got := whose(q, 6)
			if !slices.Equal(got, want) {
				t.Fatalf("it is the turn of %v, want %v", got, want)
			}
			if loading, _ := q.count(); loading != len(want) {
				t.Errorf("%d download", loading)
			}
			if len(got) > 0 {
				q.done(id(got[0]))
			}
		}
	})
}

// Whoever takes nothing for longer than the grace loses its turn, or its place; the
// end of its attempt ends it at once.
func TestTurnsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTurns(1, 0, time.Now)
		for n := range 4 {
			asks(q, n)
		}
		time.Sleep(turnGrace - time.Second)
		asks(q, 2)
		asks(q, 3)
		q.sweep()
		if got := whose(q, 4); !slices.Equal(got, []int{0}) { // took is heard
			t.Fatalf("within the grace it is the turn of %v", got)
		}
		time.Sleep(2 * time.Second)
		q.sweep() // 1 has not asked again: it has lost its place
		q.end("mch_00")
		if got := whose(q, 4); !slices.Equal(got, []int{2}) {
			t.Fatalf("it is the turn of %v", got)
		}
		if _, ok := q.again(id(0)); ok {
			t.Error("an attempt that is over asks again")
		}
		for range 3 {
			time.Sleep(turnGrace / 2)
			asks(q, 3)
			asks(q, 1)
			q.sweep() // 2 takes nothing: its machine died
		}
		if got := whose(q, 4); !slices.Equal(got, []int{1}) {
			t.Errorf("it is the turn of %v, not of 1, which asked before 3", got)
		}
	})
}

// A machine that has bytes already goes before those that have none: a new agent
// knows nobody's place.
func TestWhoHasBegunGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTurns(1, 0, time.Now)
		asks(q, 0)
		asks(q, 1)
		if turn, _, _ := q.ask(id(2), "mch_02", 1e9, true); !turn.Waits || turn.Before != 0 {
			t.Errorf("who has begun: %+v", turn)
		}
		q.done(id(0))
		if got := whose(q, 3); !slices.Equal(got, []int{2}) {
			t.Errorf("it is the turn of %v", got)
		}
	})
}

func TestHowManyDownloadAtOnce(t *testing.T) {
	for _, row := range []struct {
		atOnce    int
		bandwidth int64
		want      int
	}{{0, 0, 64}, {3, 0, 3}, {0, 125e6, 12}, {0, 1e6, 1}, {5, 1e6, 5}, {-1, 0, 500}, {-1, 1e6, 500}} {
		q := newTurns(row.atOnce, row.bandwidth, time.Now)
		for n := range 500 {
			asks(q, n)
		}
		if loading, waiting := q.count(); loading != row.want || waiting != 500-row.want {
			t.Errorf("%d at once, %d B/s: %d download, %d wait; want %d", row.atOnce, row.bandwidth, loading, waiting, row.want)
		}
	}
}

// The queue that stands still is a problem; one that moves, however long it is,
// is none, nor is one that nobody waits in.
func TestAQueueThatStandsStillIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTurns(1, 0, time.Now)
		stuck := func() bool { reason, _ := q.stuck(); return reason != "" }
		asks(q, 0)
		time.Sleep(3 * time.Hour)
		asks(q, 1)
		if stuck() {
			t.Error("one has only just begun to wait")
		}
		time.Sleep(slowTurn + 99*time.Second)
		if stuck() {
			t.Error("1 GB may take as long")
		}
		time.Sleep(2 * time.Second)
		if _, evidence := q.stuck(); !strings.Contains(evidence, "mch_00") {
			t.Errorf("evidence is %q", evidence)
		}
		q.done(id(0))
		if stuck() {
			t.Error("it has moved")
		}
	})
}

// A wire is what an answer is written to, at so many bytes/s; 0: any.
type wire struct {
	header http.Header
	rate   int64
	mu     sync.Mutex
	bytes  int64
	last   time.Time
}

func (w *wire) Header() http.Header { return w.header }
func (w *wire) WriteHeader(int)     {}
func (w *wire) Flush()              {}
func (w *wire) Write(p []byte) (int, error) {
	if w.rate > 0 {
		time.Sleep(time.Duration(int64(len(p)) * int64(time.Second) / w.rate))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes += int64(len(p))
	w.last = time.Now()
	return len(p), nil
}

func (w *wire) took() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bytes
}

// load sends so many bytes as a download does.
func load(ctx context.Context, t *turns, n int, w *wire, bytes int64) error {
	body := &seenWriter{ResponseWriter: w, saw: func() {}, next: func(want int64) (int64, bool, error) { return t.next(ctx, id(n), want) }}
	_, err := body.ReadFrom(&io.LimitedReader{R: newNoise(), N: bytes})
	if err == nil {
		t.done(id(n))
	}
	return err
}

// Those whose turn it is share the bandwidth evenly, one that cannot take its part
// leaves it to the others, and together they never take more.
func TestTheBandwidthIsShared(t *testing.T) {
	const bandwidth, seconds = 10e6, 20
	for _, row := range []struct {
		name  string
		slow  int64 // what the first can take, bytes/s; 0: any
		first float64
		other float64
	}{
		{"evenly", 0, bandwidth / 4, bandwidth / 4},
		{"beside a slow disk", 1e6, 0.75e6, 3e6}, // this wire has no buffer: what it waits for its part it does not send
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newTurns(4, bandwidth, time.Now)
				ctx, cancel := context.WithCancel(t.Context())
				wires := make([]*wire, 6)
				var all sync.WaitGroup
				for n := range wires {
					wires[n] = &wire{header: http.Header{}}
					if n == 0 {
						wires[n].rate = row.slow
					}
					asks(q, n)
					all.Go(func() { _ = load(ctx, q, n, wires[n], 10e9) })
				}
				time.Sleep(seconds * time.Second)
				var sum float64
				for n, w := range wires {
					got, want := float64(w.took())/seconds, row.other
					if n == 0 {
						want = row.first
					}
					sum += got
					switch {
					case n < 4 && (got < 0.8*want || got > 1.2*want):
						t.Errorf("%d took %.0f B/s, want %.0f", n, got, want)
					case n >= 4 && w.took() > seconds/int64(dripEvery/time.Second)+1:
						t.Errorf("%d took %d bytes before its turn", n, w.took())
					}
				}
				if sum > 1.01*bandwidth+float64(q.piece) {
					t.Errorf("together they took %.0f B/s", sum)
				}
				cancel()
				all.Wait()
			})
		})
	}
}

// A download that cannot be told to wait gets a byte now and then, and goes on
// when its turn comes; it ends with its attempt.
func TestADownloadThatWaitsIsKeptAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTurns(1, 0, time.Now)
		asks(q, 0)
		asks(q, 1)
		w, ended := &wire{header: http.Header{}}, make(chan error, 1)
		go func() { ended <- load(t.Context(), q, 1, w, 5<<20) }()
		time.Sleep(time.Hour)
		if got := w.took(); got != 719 && got != 720 {
			t.Errorf("in an hour it got %d bytes, want one every %s", got, dripEvery)
		}
		asks(q, 0) // as long as it is heard of it keeps its turn: nobody sweeps here
		q.done(id(0))
		if err := <-ended; err != nil || w.took() != 5<<20 {
			t.Errorf("it got %d bytes, %v", w.took(), err)
		}
		asks(q, 2)
		asks(q, 3)
		go func() { ended <- load(t.Context(), q, 3, w, 5<<20) }()
		synctest.Wait()
		q.end("mch_03")
		if err := <-ended; err == nil {
			t.Error("a download outlives its attempt")
		}
	})
}

// Only an answer with the image's last byte ends a download.
func TestWhatEndsADownload(t *testing.T) {
	for _, row := range []struct {
		asked, answered string
		whole           int64
		resumes         bool
	}{
		{"", "", 100, false},
		{"bytes=0-", "bytes 0-99/100", 100, false},
		{"bytes=40-", "bytes 40-99/100", 60, true},
		{"bytes=40-49", "bytes 40-49/100", -1, true},
		{"bytes=200-", "bytes */100", 100, true}, // refused: the answer's body has none of it
	} {
		r := &http.Request{Header: http.Header{"Range": {row.asked}}}
		if got := whole(http.Header{"Content-Range": {row.answered}}, 100); got != row.whole || resumes(r) != row.resumes {
			t.Errorf("%q, %q: whole with %d bytes, resumes %v", row.asked, row.answered, got, resumes(r))
		}
	}
}

// Over a real connection the byte that keeps a ramdisk waiting comes by itself,
// and what follows is the rest of the same bytes. That the kernel took it proves
// nothing of the machine.
func TestWhatWaitsIsOnTheWire(t *testing.T) {
	q, image, seen := newTurns(1, 0, time.Now), strings.Repeat("0123456789", 1<<20), new(atomic.Int64)
	asks(q, 0)
	asks(q, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		body := &seenWriter{ResponseWriter: w, saw: func() { seen.Add(1) }, next: func(want int64) (int64, bool, error) { return q.next(r.Context(), id(1), want) }}
		http.ServeContent(body, r, "", time.Time{}, strings.NewReader(image))
		if whole(w.Header(), int64(len(image))) == body.bytes {
			q.done(id(1))
		}
	}))
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Range", "bytes=7-")
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, 4)
	if n, err := resp.Body.Read(first); n != 1 || err != nil {
		t.Errorf("before its turn it got %q, %v", first[:n], err)
	}
	if turn, _ := q.of(id(1)); !turn.Waits || seen.Load() > 0 {
		t.Errorf("it has its turn already, or was seen %d times: %+v", seen.Load(), turn)
	}
	q.done(id(0))
	rest, err := io.ReadAll(resp.Body)
	if err != nil || string(first[:1])+string(rest) != image[7:] {
		t.Errorf("it got %d bytes after that, %v", len(rest), err)
	}
	if turn, _ := q.of(id(1)); turn.Waits || q.took(id(1)) || seen.Load() == 0 {
		t.Errorf("its download is over, and its turn is not: %+v", turn)
	}
}
