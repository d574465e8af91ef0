package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/client"
	"sprout/server"
	"sprout/store/storetest"
)

// A squat is a control plane with a site whose agent finds strangers at addresses.
type squat struct {
	plane
	db    *pgx.Conn
	agent *far

	mu        sync.Mutex
	strangers map[string]string // MAC by address
	refuses   error             // what the agent answers instead
	asked     int               // questions
}

// newSquat has as many addresses in quarantine as are named, because of a MAC each.
func newSquat(t *testing.T, ips ...string) *squat {
	t.Helper()
	url := storetest.NewURL(t)
	q := &squat{plane: run(t, func(c *server.Config) { c.Database.URL = url }), strangers: map[string]string{}}
	q.db = must(pgx.Connect(t.Context(), url))(t)
	t.Cleanup(func() { _ = q.db.Close(context.WithoutCancel(t.Context())) })
	must(client.Call(t.Context(), q.admin, api.SiteCreate, siteNamed("lon1")))(t)
	var network api.CreateNetwork
	network.Body.Site, network.Body.Name, network.Body.CIDR = "lon1", "n1", "10.0.0.0/24"
	must(client.Call(t.Context(), q.admin, api.NetworkCreate, network))(t)
	f := enrol(t, q.plane, "lon1")
	q.agent = f
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.bus.Questions(ctx, q.answer) }()
	t.Cleanup(func() { stop(); <-ended })
	for i, ip := range ips {
		q.strangers[ip] = fmt.Sprintf("52:54:00:09:09:%02x", i)
	}
	for _, ip := range ips { // the agent must have begun to answer: until then it is away
		eventually(t, func() (sprout.AddressProbe, error) { return q.probe(t, ip) }, func(p sprout.AddressProbe) bool { return p.State == sprout.ProbeTaken })
		q.quarantine(t, ip)
	}
	return q
}

func (q *squat) answer(_ context.Context, question sprout.Question) (any, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var ips []netip.Addr
	if err := json.Unmarshal(question.Body, &ips); err != nil || question.Kind != sprout.ProbeAddresses {
		return nil, sprout.Errorf(sprout.Invalid, "cannot read %s: %v", question.Kind, err)
	}
	out := make([]sprout.AddressProbe, len(ips))
	q.asked++
	for i, ip := range ips {
		out[i] = sprout.AddressProbe{IP: ip, State: sprout.ProbeFree, MAC: q.strangers[ip.String()]}
		if out[i].MAC != "" {
			out[i].State = sprout.ProbeTaken
		}
	}
	return out, q.refuses
}

func (q *squat) probe(t *testing.T, ip string) (sprout.AddressProbe, error) {
	return client.Call(t.Context(), q.admin, api.AddressProbe, api.AddressRef{Address: "lon1/" + ip})
}

// quarantine does what a deploy does with an address that its site found taken.
func (q *squat) quarantine(t *testing.T, ip string) {
	t.Helper()
	sub := must(client.Call(t.Context(), q.admin, api.SubnetShow, api.SubnetRef{Subnet: "10.0.0.0/24"}))(t)
	if err := q.Quarantine(t.Context(), sprout.AddressConflict{Subnet: sub.ID, IP: netip.MustParseAddr(ip), MAC: q.strangers[ip], By: "a test"}); err != nil {
		t.Fatal(err)
	}
}

func (q *squat) questions() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.asked
}

// refuse has the agent answer by an error.
func (q *squat) refuse(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refuses = err
}

// gone has the strangers leave the addresses.
func (q *squat) gone(ips ...string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, ip := range ips {
		delete(q.strangers, ip)
	}
}

// anHourLater has every quarantined address be due and looked at, and wants those
// in quarantine that are left: each with how long until it is looked at again, as
// "10.0.0.9 60m". The server's own sweep may be the one that looks.
func (q *squat) anHourLater(t *testing.T, want string) {
	t.Helper()
	must(q.db.Exec(t.Context(), `UPDATE address SET probe_at = now() - interval '1 second' WHERE probe_at IS NOT NULL`))(t)
	for more := true; more; {
		var err error
		if more, err = q.ProbeConflicts(t.Context()); err != nil {
			t.Log(err) // what is left tells
		}
	}
	eventually(t, func() (string, error) { return q.quarantined(t), nil }, func(got string) bool { return got == want })
}

// quarantined lists what is in quarantine.
func (q *squat) quarantined(t *testing.T) string {
	t.Helper()
	rows := must(q.db.Query(t.Context(), `
		SELECT host(ip) || ' ' || round(extract(epoch FROM probe_at - now()) / 60) || 'm' FROM address WHERE kind = 'quarantined' ORDER BY ip`))(t)
	return strings.Join(must(pgx.CollectRows(rows, pgx.RowTo[string]))(t), ", ")
}

func (q *squat) problems(t *testing.T) (names []string) {
	t.Helper()
	for _, p := range must(client.Call(t.Context(), q.admin, api.ProblemList, api.ListProblems{}))(t).Items {
		if p.Code == sprout.AddressTaken {
			names = append(names, p.Name)
		}
	}
	return names
}

// The agent looks again every hour: quarantine and problem end where nobody answers
// any more, and only there.
func TestQuarantineEndsWhenNobodyAnswers(t *testing.T) {
	q := newSquat(t, "10.0.0.8", "10.0.0.9")
	if got := q.quarantined(t); got != "10.0.0.8 60m, 10.0.0.9 60m" {
		t.Fatalf("in quarantine are %s", got)
	}
	q.gone("10.0.0.8")
	q.anHourLater(t, "10.0.0.9 60m")
	if got := q.problems(t); len(got) != 1 || got[0] != "10.0.0.9" {
		t.Errorf("an hour later the problems are of %v", got)
	}
	asked := q.questions()
	if more, err := q.ProbeConflicts(t.Context()); more || err != nil || q.questions() != asked {
		t.Errorf("where nothing is due it asks: %d questions after %d, %v, %v", q.questions(), asked, more, err)
	}
}

// Where the database keeps what was found of one address but not of another, the
// first one's is kept, and the other is looked at again within minutes.
func TestQuarantineSurvivesAStoreThatFails(t *testing.T) {
	q := newSquat(t, "10.0.0.7", "10.0.0.8", "10.0.0.9")
	q.gone("10.0.0.7", "10.0.0.8", "10.0.0.9")
	must(q.db.Exec(t.Context(), `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the disk is gone'; END $$;
		CREATE TRIGGER refuse BEFORE DELETE ON address FOR EACH ROW WHEN (OLD.ip = '10.0.0.8') EXECUTE FUNCTION refuse()`))(t)
	q.anHourLater(t, "10.0.0.8 5m")
	if got := q.problems(t); len(got) != 1 || got[0] != "10.0.0.8" {
		t.Errorf("the problems are of %v", got)
	}
	must(q.db.Exec(t.Context(), `DROP TRIGGER refuse ON address`))(t)
	q.anHourLater(t, "")
	if got := q.problems(t); len(got) != 0 {
		t.Errorf("with the disk back the problems are of %v", got)
	}
}

// An agent that is away is asked again within minutes; one that cannot look has the
// hour do that has passed.
func TestQuarantineWhereTheAgentCannotLook(t *testing.T) {
	q := newSquat(t, "10.0.0.9")
	q.refuse(sprout.Errorf(sprout.Unavailable, "cannot look now"))
	q.anHourLater(t, "10.0.0.9 5m")
	q.refuse(sprout.Errorf(sprout.Invalid, "cannot answer such a question"))
	q.anHourLater(t, "10.0.0.9 60m") // the hour is not over
	must(q.db.Exec(t.Context(), `UPDATE problem SET since = since - interval '2 hours'`))(t)
	q.anHourLater(t, "")
}

// A person has the agent look at once: at an address that nobody was given, one in
// quarantine, and one that the site has not.
func TestProbeThroughTheServer(t *testing.T) {
	q := newSquat(t, "10.0.0.9")
	if p := must(q.probe(t, "10.0.0.50"))(t); p.State != sprout.ProbeFree {
		t.Errorf("what nobody has is %+v", p)
	}
	if p := must(q.probe(t, "10.0.0.9"))(t); p.State != sprout.ProbeTaken || p.MAC != "52:54:00:09:09:00" {
		t.Errorf("it is %+v", p)
	}
	for _, ref := range []string{"10.9.9.9", "lon1/10.9.9.9", "lon9/10.0.0.9", "nonsense"} {
		if _, err := client.Call(t.Context(), q.admin, api.AddressProbe, api.AddressRef{Address: ref}); sprout.KindOf(err) != sprout.NotFound {
			t.Errorf("%s: %v", ref, err)
		}
	}
	q.gone("10.0.0.9")
	if p := must(q.probe(t, "10.0.0.9"))(t); p.State != sprout.ProbeFree || q.quarantined(t) != "" || len(q.problems(t)) != 0 {
		t.Errorf("once nobody answers: %+v, in quarantine %q, problems %v", p, q.quarantined(t), q.problems(t))
	}
	records := must(client.Call(t.Context(), q.admin, api.AuditList, api.ListAudit{}))(t).Items
	said := ""
	for _, r := range records {
		said += r.Action + " " + r.Name + " " + r.Detail + "\n"
	}
	if !strings.Contains(said, "address probe 10.0.0.9 taken 52:54:00:09:09:00") || !strings.Contains(said, "address probe 10.0.0.9 free") {
		t.Errorf("the audit has\n%s", said)
	}
}
