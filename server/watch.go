package server

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"sprout"
	"sprout/api"
	"sprout/store"
)

const (
	heartbeatEvery = 15 * time.Second // a comment, so that both ends know of each other
	writeWithin    = 30 * time.Second // a client that takes nothing for so long is cut off
	catchUpBatch   = 200
)

// eventWatch answers with a stream. It is refused, as every request is, before
// the stream begins.
func (s *Server) eventWatch(ctx context.Context, in *api.WatchEvents) (api.Stream, error) {
	filter, err := s.eventFilter(ctx, in)
	if err != nil {
		return api.Stream{}, err
	}
	var from *store.Position
	if in.LastEventID != "" {
		p, err := store.ParsePosition(in.LastEventID)
		if err != nil {
			return api.Stream{}, err
		}
		from = &p
	}
	w := newWatcher(filter, in.Resource, bearer(ctx).ID)
	at, err := s.feed.join(ctx, w)
	if err != nil {
		return api.Stream{}, err
	}
	// From here on the feed would tell of it; before, nobody did.
	if revoked, err := s.store.TokenRevoked(ctx, w.token); err != nil || revoked {
		s.feed.leave(w)
		return api.Stream{}, cmp.Or(err, error(sprout.Errorf(sprout.Denied, "cannot watch any longer: the token was revoked")))
	}
	over := endOf(bearer(ctx), in.For)
	return api.Stream{Serve: func(answer http.ResponseWriter, r *http.Request) {
		defer s.feed.leave(w)
		to := streamTo(answer)
		if r.Method == http.MethodHead { // an answer without a body ends: else the connection's next request would wait behind it
			return
		}
		e := &eventStream{eventWriter: to, server: s, watcher: w}
		if err := e.serve(r.Context(), from, at, over); err != nil && r.Context().Err() == nil {
			s.log.Debug("a stream of events broke off", "id", api.RequestID(r.Context()), "error", err)
		}
	}}, nil
}

func (s *Server) eventFilter(ctx context.Context, in *api.WatchEvents) (f store.EventFilter, err error) {
	f = store.EventFilter{Nouns: in.Noun, Subject: in.Subject}
	if f.Sites, err = s.sitesOf(ctx, in.Site); err != nil {
		return f, err
	}
	if in.Machine != "" {
		m, err := s.findMachine(ctx, in.Machine)
		if err != nil {
			return f, err
		}
		f.Machine = m.ID
	}
	return f, nil
}

// An ending is when a stream ends by itself, and why; never if At is zero.
type ending struct {
	at  time.Time
	why string
}

// endOf returns the earlier of the token's expiry and what was asked for.
func endOf(token sprout.Token, seconds int) (e ending) {
	if seconds > 0 {
		e = ending{time.Now().Add(time.Duration(seconds) * time.Second), "the time that was asked for is over"}
	}
	if token.ExpiresAt != nil && (e.at.IsZero() || token.ExpiresAt.Before(e.at)) {
		e = ending{*token.ExpiresAt, "the token has expired"}
	}
	return e
}

// An eventStream writes to one client.
type eventStream struct {
	eventWriter
	server  *Server
	watcher *watcher
}

// serve writes what the client missed since from, if it says so, then what is
// new after at, until one of both ends it.
func (e *eventStream) serve(ctx context.Context, from *store.Position, at store.Position, over ending) error {
	var err error
	if from == nil {
		err = e.write(sprout.WatchEvent{What: sprout.Opened, ID: at.String()})
	} else {
		err = e.catchUp(ctx, *from, at)
	}
	if err != nil {
		return err
	}
	alive := time.NewTicker(heartbeatEvery)
	defer alive.Stop()
	defer e.done()
	var expired <-chan time.Time
	if !over.at.IsZero() {
		timer := time.NewTimer(time.Until(over.at))
		defer timer.Stop()
		expired = timer.C
	}
	for {
		select {
		case <-e.watcher.ready:
			list, ended := e.watcher.next()
			if err := e.send(list...); err != nil {
				return err
			}
			if ended != "" {
				return e.write(sprout.WatchEvent{What: sprout.Resume, Reason: ended})
			}
		case <-alive.C:
			if err := e.send(sayAlive); err != nil {
				return err
			}
		case <-expired:
			return e.write(sprout.WatchEvent{What: sprout.Resume, Reason: over.why})
		case <-e.server.hub.over:
			return e.write(sprout.WatchEvent{What: sprout.Resume, Reason: "the server stops"})
		case <-ctx.Done():
			return nil
		}
	}
}

// catchUp writes what lies between two positions, in parts that the client's
// speed asks for.
func (e *eventStream) catchUp(ctx context.Context, from, until store.Position) error {
	if err := e.send(&message{[]byte(": resumed\n\n")}); err != nil {
		return err
	}
	for {
		part, err := e.server.store.EventsUntil(ctx, from, until, e.watcher.filter, catchUpBatch)
		if err != nil {
			return err
		}
		if part.Lost {
			return e.write(resetAt(until))
		}
		list, err := e.messages(ctx, part.List)
		if err != nil {
			return err
		}
		if err := e.send(list...); err != nil {
			return err
		}
		if !part.More {
			return nil
		}
		from = part.At
	}
}

func (e *eventStream) messages(ctx context.Context, events []sprout.WatchEvent) (list []*message, err error) {
	var subjects []string
	for _, event := range events {
		if e.watcher.resource {
			subjects = append(subjects, event.Subject)
		}
	}
	encode, err := e.server.feed.encoder(ctx, subjects)
	if err != nil {
		return nil, err
	}
	for _, event := range events {
		if !e.watcher.wants(event) {
			continue // a token's
		}
		m, err := encode(event, e.watcher.resource)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

func (e *eventStream) write(event sprout.WatchEvent) error {
	m, err := encode(event)
	if err != nil {
		return err
	}
	return e.send(m)
}
