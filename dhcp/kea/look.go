package kea

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sprout"
)

// A process is the Kea that was told.
type process struct {
	pid      int
	reloaded time.Time // when it last took a configuration, to 1 s
}

// process asks who Kea is.
func (s *Server) process(ctx context.Context) (process, error) {
	var status struct {
		PID    int `json:"pid"`
		Reload int `json:"reload"` // s ago
	}
	if err := s.channel.ask(ctx, "status-get", nil, &status); err != nil {
		return process{}, refused(err, "Kea does not say its status")
	}
	return process{status.PID, time.Now().Add(-time.Duration(status.Reload) * time.Second)}, nil
}

// verifyEvery is after how long Kea's configuration is compared though Kea does not
// say that it took another: it says so by the second.
const verifyEvery = time.Minute

// slack is how far two words about one moment may be apart.
const slack = 2500 * time.Millisecond

// look sees whether Kea is the one that was told and goes by what it was told,
// and reads its leases. Errors are as of apply.
func (s *Server) look(ctx context.Context) (retry <-chan time.Time, err error) {
	if s.applied == nil { // it goes by what it had, which may be of an agent before
		s.mirror.name(s.intent())
		var why *reason
		if err := s.read(ctx); !errors.As(err, &why) {
			return nil, err
		}
		return nil, nil
	}
	if !s.changed.IsZero() && time.Since(s.changed) > changedSaid {
		s.changed = time.Time{}
		s.config.Trouble(sprout.KeaChanged, "", "")
	}
	now, err := s.process(ctx)
	if err != nil {
		return nil, err
	}
	again := now.pid != s.kea.pid
	if again || now.reloaded.Sub(s.kea.reloaded) > slack || time.Since(s.verified) > verifyEvery {
		return s.verify(ctx, again)
	}
	return nil, s.read(ctx)
}

// verify compares Kea's configuration with what it was told, and tells it again
// where it differs. After a restart that is usual: its file may be older.
func (s *Server) verify(ctx context.Context, restarted bool) (retry <-chan time.Time, err error) {
	whole, err := s.running(ctx)
	if err != nil {
		return nil, err
	}
	if s.kea, err = s.process(ctx); err != nil {
		return nil, err
	}
	s.verified = time.Now()
	differ := differing(s.applied, s.intent().parts(whole))
	if len(differ) == 0 {
		return nil, s.read(ctx)
	}
	evidence := "different: " + strings.Join(differ, ", ")
	s.applied = nil
	if restarted {
		s.config.Log.Info("kea was restarted with another configuration: it is told again", "different", differ)
		return s.apply(ctx)
	}
	retry, err = s.apply(ctx)
	if err == nil && retry == nil {
		s.changed = time.Now()
		s.config.Trouble(sprout.KeaChanged, fmt.Sprintf("Somebody else changed Kea's configuration at %s: Sprout put it back", s.config.Now().UTC().Format(time.RFC3339)), evidence)
	}
	return retry, err
}

// differing are the parts whose digests are not the same, by name.
func differing(a, b map[string]string) (list []string) {
	for key := range a {
		if a[key] != b[key] {
			list = append(list, key)
		}
	}
	slices.Sort(list)
	return list
}
