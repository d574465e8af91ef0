package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/health"
	"sprout/store"
)

const (
	lookEvery  = 5 * time.Second
	clockOff   = 5 * time.Second     // between this host and the database
	agentOff   = 30 * time.Second    // between this host and an agent
	renewUnder = 14 * 24 * time.Hour // of a certificate's life, it should have been renewed
	slowOver   = time.Second         // the median of slowOf commits
	slowOf     = 3
	databaseID = "database" // what problems of the database are about: it is one for all replicas
	serverID   = "server:"  // and before the name of a replica's host, those of the replica

	renewEvery  = time.Minute      // a replica says that its problems go on
	silentAfter = 10 * time.Minute // its problems end: nobody says them any more
)

// A condition is what this replica knows to be wrong with itself and with what it
// stands on. A problem that the database cannot keep, as it takes no changes, is
// listed all the same.
type condition struct {
	health.Troubles
	name string // of this host

	mu   sync.Mutex
	ids  map[sprout.Code]sprout.ProblemID
	kept bool // the problems in the database are those of the list
	said []sprout.Problem
	at   time.Time // when they were said last
}

// ofDatabase are the codes of problems that every replica sees alike.
var ofDatabase = []sprout.Code{sprout.DatabaseReadOnly}

// ofServer are the codes that a replica may have to say of its own host.
// The way to the database may be slow from one of them alone, and that its disk is
// full is known to those whose statements it refused.
var ofServer = []sprout.Code{sprout.DatabaseSlow, sprout.DatabaseFull, sprout.DiskFull, sprout.ClockWrong, sprout.CertificateExpired}

// watchHealth looks at what this replica stands on until ctx ends.
func (s *Server) watchHealth(ctx context.Context) error {
	var took []time.Duration
	for {
		if err := s.condition.Disk(s.config.Dir, health.LeastFree, "no image can be imported, and the bus may not keep what it is given"); err != nil {
			s.log.Warn("disk not looked at", "error", err)
		}
		if s.embedded != nil && !s.condition.Has(sprout.DiskFull) {
			if err := s.embedded.Mend(); err != nil {
				s.log.Warn("the bus keeps nothing", "error", err)
			}
		}
		s.lookAtCertificate(time.Now())
		took = s.lookAtDatabase(ctx, took)
		s.keepCondition(ctx)
		_, changed := s.condition.List()
		wait := lookEvery
		if n := len(took); n > 0 && (took[n-1] > slowOver) != s.condition.Has(sprout.DatabaseSlow) {
			wait = time.Second // to be sure sooner
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// lookAtDatabase tells whether the database takes changes, and how quickly. A
// database that is away is what /readyz and every answer say.
func (s *Server) lookAtDatabase(ctx context.Context, took []time.Duration) []time.Duration {
	within, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	p, err := s.store.Probe(within)
	if err != nil {
		if sprout.KindOf(err) != sprout.Unavailable && ctx.Err() == nil {
			s.log.Warn("database not looked at", "error", err)
		}
		return nil
	}
	reason := ""
	if p.ReadOnly {
		reason = "the database takes no changes"
	}
	s.condition.Set(sprout.DatabaseReadOnly, reason, "transaction_read_only is on")
	reason = ""
	if p.Full {
		reason = "the database's disk is full"
	}
	s.condition.Set(sprout.DatabaseFull, reason, "seen by server "+s.condition.name)
	took = append(took, p.Took)
	took = took[max(0, len(took)-slowOf):]
	sorted := slices.Sorted(slices.Values(took))
	reason = ""
	if median := sorted[len(sorted)/2]; len(took) == slowOf && median > slowOver {
		reason = "commits take longer than " + slowOver.String()
	}
	s.condition.Set(sprout.DatabaseSlow, reason, "seen by server "+s.condition.name)
	reason = ""
	if p.Ahead.Abs() > clockOff+p.Took {
		reason = fmt.Sprintf("this server's clock and the database's are %s apart", p.Ahead.Abs().Round(time.Second))
	}
	s.condition.Set(sprout.ClockWrong, reason, "server "+s.condition.name)
	return took
}

// lookAtCertificate looks at the API's certificate, where it is of files that
// somebody else has to renew.
func (s *Server) lookAtCertificate(now time.Time) {
	if s.shown == nil || s.config.TLS.Certificate == "" {
		return
	}
	held, err := s.shown.Certificate(&tls.ClientHelloInfo{})
	if err != nil {
		return // a server without one does not start
	}
	reason := ""
	switch left := held.Leaf.NotAfter.Sub(now); {
	case left <= 0:
		reason = "the API's certificate has run out: nobody who checks it connects"
	case left < renewUnder:
		reason = "the API's certificate runs out soon"
	}
	s.condition.Set(sprout.CertificateExpired, reason, fmt.Sprintf("%s is good until %s", s.config.TLS.Certificate, held.Leaf.NotAfter.UTC().Format(time.RFC3339)))
}

// keepCondition brings the problems in the database to what is wrong now, when that
// has changed, and now and then says that it goes on.
func (s *Server) keepCondition(ctx context.Context) {
	own := s.conditionNow()
	if s.condition.isKept(own, time.Now()) {
		return
	}
	within, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	err := s.store.Tx(within, func(ctx context.Context, tx pgx.Tx) error {
		for subject, codes := range map[string][]sprout.Code{databaseID: ofDatabase, s.condition.subject(): ofServer} {
			if err := keepProblems(ctx, s.store, tx, subject, codes, own); err != nil {
				return err
			}
		}
		if err := s.store.RenewProblems(ctx, tx, s.condition.subject()); err != nil {
			return err
		}
		_, err := s.store.EndSilent(ctx, tx, serverID, silentAfter)
		return err
	})
	s.condition.mu.Lock()
	defer s.condition.mu.Unlock()
	if err != nil && s.condition.kept && ctx.Err() == nil {
		s.log.Warn("what is wrong here cannot be kept; it is listed all the same", "error", err)
	}
	s.condition.kept, s.condition.said, s.condition.at = err == nil, own, time.Now()
}

// isKept tells whether the database has been told of own, not long ago.
func (c *condition) isKept(own []sprout.Problem, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept && now.Sub(c.at) < renewEvery && slices.Equal(own, c.said)
}

// keepProblems opens and closes problems of a subject, so that of codes exactly
// those in list are open.
func keepProblems(ctx context.Context, st *store.Store, tx pgx.Tx, subject string, codes []sprout.Code, list []sprout.Problem) error {
	var over []sprout.Code
	for _, code := range codes {
		at := slices.IndexFunc(list, func(p sprout.Problem) bool { return p.Code == code && p.Subject == subject })
		if at < 0 {
			over = append(over, code)
			continue
		}
		if err := st.RaiseProblem(ctx, tx, list[at]); err != nil {
			return err
		}
	}
	if len(over) == 0 { // to ClearProblems none are all
		return nil
	}
	_, err := st.ClearProblems(ctx, tx, subject, over...)
	return err
}

func (c *condition) subject() string { return serverID + c.name }

func newCondition(s *Server) *condition {
	name, err := os.Hostname()
	if err != nil {
		name = "server"
	}
	return &condition{Troubles: health.Troubles{Log: s.log}, name: name, ids: map[sprout.Code]sprout.ProblemID{}}
}

// conditionNow is what is wrong now, as problems.
func (s *Server) conditionNow() (all []sprout.Problem) {
	list, _ := s.condition.List()
	s.condition.mu.Lock()
	defer s.condition.mu.Unlock()
	ids := s.condition.ids
	s.condition.ids = map[sprout.Code]sprout.ProblemID{}
	for _, t := range list {
		p := problemOf(t, s.condition.subject(), s.condition.name)
		if slices.Contains(ofDatabase, t.Code) {
			p.Subject, p.Name = databaseID, databaseID
		}
		p.ID = cmp.Or(ids[t.Code], sprout.NewID[sprout.ProblemID](sprout.PrefixProblem))
		s.condition.ids[t.Code] = p.ID
		all = append(all, p)
	}
	return all
}

func problemOf(t sprout.Trouble, subject, name string) sprout.Problem {
	severity, remedy := sprout.Explain(t.Code, "", "", name)
	return sprout.Problem{
		Code: t.Code, Type: t.Code.Type(), Severity: severity, Subject: subject, Name: name,
		Reason: t.Reason, Evidence: t.Evidence, Remedy: remedy, Since: t.Since,
	}
}

// unkept are the problems that the database does not have, as it takes no
// changes: those that a list's first page should show.
func (s *Server) unkept(in *api.ListProblems) (list []sprout.Problem) {
	s.condition.mu.Lock()
	kept := s.condition.kept
	s.condition.mu.Unlock()
	if kept || in.After != "" || in.Site != "" || in.Machine != "" {
		return nil
	}
	for _, p := range s.conditionNow() {
		if (len(in.Code) == 0 || slices.Contains(in.Code, p.Code)) && (in.Severity == "" || in.Severity == p.Severity) {
			list = append(list, p)
		}
	}
	return list
}
