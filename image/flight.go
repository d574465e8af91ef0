package image

import (
	"context"
	"sync"
)

// A flight is one download that several callers wait for.
type flight struct {
	done   chan struct{} // closed when err is set
	err    error
	cancel context.CancelFunc

	waiting int // guarded by Store.mu

	mu        sync.Mutex
	listeners []func(done, total int64)
}

func (f *flight) report(done, total int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.listeners {
		l(done, total)
	}
}

// join returns the running flight of the digest, or starts one. Its goroutine
// is owned by those who wait: the last to leave cancels it and waits for it.
func (s *Store) join(digest string, progress func(done, total int64), run func(context.Context, *flight) error) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.flights[digest]
	if f == nil {
		ctx, cancel := context.WithCancel(context.Background())
		f = &flight{done: make(chan struct{}), cancel: cancel}
		s.flights[digest] = f
		go func() {
			err := run(ctx, f)
			s.mu.Lock()
			delete(s.flights, digest)
			s.mu.Unlock()
			cancel()
			f.err = err
			close(f.done)
		}()
	}
	f.waiting++
	if progress != nil {
		f.mu.Lock()
		f.listeners = append(f.listeners, progress)
		f.mu.Unlock()
	}
	return f
}

// leave gives up waiting.
func (s *Store) leave(digest string, f *flight) {
	s.mu.Lock()
	f.waiting--
	last := f.waiting == 0
	if last && s.flights[digest] == f {
		f.cancel()
	}
	s.mu.Unlock()
	if last {
		<-f.done
	}
}
