package powerdns

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"sprout"
)

const (
	retryAfter  = time.Second      // where PowerDNS is not there, then twice as long each time
	retryMost   = 30 * time.Second // at most so long
	restMost    = 30 * time.Second // that names are waited for to rest
	wholeEvery  = 10 * time.Minute // every record is compared
	changedSaid = 10 * time.Minute // a change of somebody else is a problem for
)

// A Server keeps one PowerDNS told. Make it with New.
type Server struct {
	config Config
	api    api
	ready  chan struct{}
	once   sync.Once // closes ready

	mu      sync.Mutex
	changed map[string]bool // origins that changed since they were taken
	wake    chan struct{}

	// Of the goroutine of Serve.
	told   map[string]*told // by origin; what PowerDNS holds as far as is known
	ids    map[string]string
	refuse map[string]*reason // by origin; zones that PowerDNS does not take
	whole  time.Time          // when all was compared last
	putOut time.Time          // when somebody else's change was put back last
}

// Ready is closed once PowerDNS holds what it shall.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Serve keeps PowerDNS told until ctx ends. While it is not there it waits for
// it: that is a problem, not an end.
func (s *Server) Serve(ctx context.Context) error {
	s.config.Zones.Watch(s.note)
	defer s.config.Zones.Watch(nil)
	s.rest(ctx)
	wait := retryAfter
	for ctx.Err() == nil {
		began := time.Now()
		err := s.session(ctx)
		if ctx.Err() != nil {
			break
		}
		s.say(err)
		if time.Since(began) > retryMost {
			wait = retryAfter
		}
		_ = sprout.Pause(ctx, wait)
		wait = min(2*wait, retryMost)
	}
	s.api.http.CloseIdleConnections()
	return nil
}

// say tells why a session ended.
func (s *Server) say(err error) {
	var why *reason
	if errors.As(err, &why) {
		s.config.Trouble(sprout.PowerDNSRefused, why.means, why.evidence)
		return
	}
	s.config.Trouble(sprout.PowerDNSUnreachable, "PowerDNS at "+s.config.URL+" does not answer", err.Error())
}

// tell tells which zones PowerDNS does not take.
func (s *Server) tell() {
	s.config.Trouble(sprout.PowerDNSUnreachable, "", "")
	if len(s.refuse) == 0 {
		s.config.Trouble(sprout.PowerDNSRefused, "", "")
		s.once.Do(func() { close(s.ready) })
		return
	}
	first := slices.Sorted(maps.Keys(s.refuse))[0]
	s.config.Trouble(sprout.PowerDNSRefused, s.refuse[first].means, s.refuse[first].evidence)
}

// note notes zones as to be told.
func (s *Server) note(origins []string) {
	s.mu.Lock()
	for _, o := range origins {
		s.changed[o] = true
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take returns the zones that changed.
func (s *Server) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Sorted(maps.Keys(s.changed))
	clear(s.changed)
	return list
}

// rest waits until no name changed for a while.
func (s *Server) rest(ctx context.Context) {
	most := time.NewTimer(restMost)
	defer most.Stop()
	quiet := time.NewTimer(s.config.Rest)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
			quiet.Reset(s.config.Rest)
		case <-quiet.C:
			return
		case <-most.C:
			return
		}
	}
}

// session works with the PowerDNS that is there, until it is not. It begins by
// comparing everything: what an earlier one half told does not matter.
func (s *Server) session(ctx context.Context) error {
	s.told, s.ids = map[string]*told{}, map[string]string{}
	s.refuse = map[string]*reason{}
	if err := s.api.readKey(s.config.KeyFile); err != nil {
		return err
	}
	if err := s.all(ctx); err != nil {
		return err
	}
	s.tell()
	look := time.NewTicker(s.config.Look)
	defer look.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
			err = s.each(ctx, s.take())
		case <-look.C:
			err = s.look(ctx)
		}
		if err != nil {
			return err
		}
		s.tell()
	}
}

// each brings zones. One that PowerDNS refuses does not hold up the others. The
// error is that PowerDNS is not there.
func (s *Server) each(ctx context.Context, origins []string) error {
	for _, origin := range origins {
		delete(s.refuse, origin)
		err := s.sync(ctx, origin)
		var why *reason
		switch {
		case errors.As(err, &why):
			s.refuse[origin] = why
		case err != nil:
			return err
		}
	}
	return nil
}

// all brings every zone, and removes those of this site that are none any more.
func (s *Server) all(ctx context.Context) error {
	began := time.Now()
	s.take()
	mine := map[string]bool{}
	for _, origin := range s.config.Zones.Origins() {
		mine[readable(origin)] = true
	}
	if err := s.each(ctx, s.config.Zones.Origins()); err != nil {
		return err
	}
	list, err := s.api.zones(ctx)
	if err != nil {
		return err
	}
	for _, z := range list {
		if z.Account == s.account() && !mine[z.Name] && len(mine) > 0 {
			if err := s.api.remove(ctx, z.ID); err != nil {
				return err
			}
			s.config.Log.Info("zone is removed from PowerDNS: the site has it no more", "zone", z.Name)
		}
	}
	s.whole = time.Now()
	s.config.Log.Info("PowerDNS is told", "zones", len(mine), "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// account marks the zones of the site in PowerDNS.
func (s *Server) account() string { return "sprout/" + string(s.config.Site) }

// look sees whether PowerDNS still holds what it was told, and puts back what it
// does not: by the serials, and now and then by every record.
func (s *Server) look(ctx context.Context) error {
	if !s.putOut.IsZero() && time.Since(s.putOut) > changedSaid {
		s.putOut = time.Time{}
		s.config.Trouble(sprout.PowerDNSChanged, "", "")
	}
	if len(s.refuse) > 0 {
		if err := s.api.readKey(s.config.KeyFile); err != nil { // it may be another now
			return err
		}
		if err := s.each(ctx, slices.Sorted(maps.Keys(s.refuse))); err != nil {
			return err
		}
	}
	list, err := s.api.zones(ctx)
	if err != nil {
		return err
	}
	whole, has := time.Since(s.whole) > wholeEvery, map[string]zoneInfo{}
	for _, z := range list {
		has[z.Name] = z
	}
	for origin, t := range maps.Clone(s.told) {
		if z, ok := has[readable(origin)]; !ok || z.Serial != t.serial || z.Account != s.account() || whole {
			if err := s.putBack(ctx, origin, t.serial); err != nil {
				return err
			}
		}
	}
	if whole {
		s.whole = time.Now()
	}
	return nil
}

// putBack compares a zone as a whole, and says so where somebody else changed it.
func (s *Server) putBack(ctx context.Context, origin string, serial uint32) error {
	delete(s.ids, origin)
	differs, err := s.compare(ctx, origin)
	var why *reason
	switch {
	case errors.As(err, &why):
		s.refuse[origin] = why
		return nil
	case err != nil:
		return err
	case len(differs) == 0 || s.told[origin] == nil || s.told[origin].serial != serial: // it changed here meanwhile
		return nil
	}
	s.putOut = time.Now()
	evidence := fmt.Sprintf("different: %s", strings.Join(differs[:min(len(differs), 10)], ", "))
	s.config.Trouble(sprout.PowerDNSChanged, fmt.Sprintf("Somebody else changed the zone %s in PowerDNS: Sprout put it back", readable(origin)), evidence)
	return nil
}
