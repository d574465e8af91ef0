package server

import (
	"bytes"
	"context"
	"strings"

	"sprout"
	"sprout/api"
	"sprout/store"
)

// bootsIn reads what boots were seen to do, for their timelines. It moves nothing.
func bootsIn(f sprout.Fact) ([]sprout.BootEvent, error) {
	events, err := bootEvents(f)
	for i := range events {
		if events[i].At.IsZero() {
			events[i].At = f.At
		}
	}
	return events, err
}

// bootEvents reads the fact's events. Agents before 0.2 send one a fact, and
// name its attempt beside it.
func bootEvents(f sprout.Fact) ([]sprout.BootEvent, error) {
	if bytes.HasPrefix(bytes.TrimSpace(f.Body), []byte("[")) {
		return body[[]sprout.BootEvent](f)
	}
	e, err := body[sprout.BootEvent](f)
	e.Attempt, e.Machine = f.Attempt, f.Machine
	return []sprout.BootEvent{e}, err
}

func (s *Server) bootList(ctx context.Context, in *api.ListOfMachine) (out api.Page[sprout.BootAttempt], err error) {
	m, err := s.findMachine(ctx, in.Machine)
	if err != nil {
		return out, err
	}
	return paged(s.store.BootAttempts(ctx, m, page(in.Paging)))
}

func (s *Server) bootShow(ctx context.Context, in *api.BootRef) (sprout.BootAttempt, error) {
	m, err := s.findMachine(ctx, in.Machine)
	if err != nil {
		return sprout.BootAttempt{}, err
	}
	return s.bootAttempt(ctx, m, in.Attempt)
}

// bootAttempt returns one attempt of the machine with its events; ref is an id,
// its unique beginning, or latest.
func (s *Server) bootAttempt(ctx context.Context, m sprout.Machine, ref string) (sprout.BootAttempt, error) {
	list, _, err := s.store.BootAttempts(ctx, m, store.Page{Limit: 1000})
	if err != nil {
		return sprout.BootAttempt{}, err
	}
	a, err := chooseBoot(m, ref, list)
	if err != nil {
		return a, err
	}
	a.Events, err = s.store.BootEvents(ctx, a.Site, a.ID)
	a.Events = filled(a.Events)
	for i := range a.Events {
		a.Events[i].Attempt, a.Events[i].Machine = a.ID, a.Machine
	}
	return a, err
}

// chooseBoot finds an attempt in the list, whose first is the newest.
func chooseBoot(m sprout.Machine, ref string, list []sprout.BootAttempt) (sprout.BootAttempt, error) {
	if len(list) == 0 {
		return sprout.BootAttempt{}, sprout.Errorf(sprout.NotFound, "cannot show a boot of %s: none was seen yet", m.Name)
	}
	if ref == api.LatestBoot {
		return list[0], nil
	}
	var found []sprout.BootAttempt
	for _, a := range list {
		if strings.HasPrefix(string(a.ID), ref) {
			found = append(found, a)
		}
	}
	switch len(found) {
	case 0:
		return sprout.BootAttempt{}, sprout.Errorf(sprout.NotFound, "cannot find boot attempt %q of %s", ref, m.Name).WithRemedy("sprout boot list %s", m.Name)
	case 1:
		return found[0], nil
	}
	return sprout.BootAttempt{}, sprout.InvalidField("attempt", "%q may be any of %d boot attempts: say which", ref, len(found)).WithRemedy("sprout boot list %s", m.Name)
}
