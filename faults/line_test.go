package faults_test

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5"

	"sprout/wan"
)

// A lines is what a server hangs on. Each of its processes is told of the relay,
// never of what is behind it, so that a line can be cut while both its ends live.
type lines struct {
	api      *wan.Relay // from those who ask
	database *wan.Relay
	bus      *wan.Relay // nil: the server embeds it
}

// all are the lines that there are.
func (l lines) all() wan.Relays {
	if l.bus == nil {
		return wan.Relays{l.api, l.database}
	}
	return wan.Relays{l.api, l.database, l.bus}
}

// lay lays a line, to an address or to wherever dial leads.
func (g *ground) lay(to string, dial wan.Dial) *wan.Relay {
	r := must1(wan.Listen("127.0.0.1:0", wan.Weather{}, 0, dial))(g.t)
	r.Lead(to)
	return r
}

// dialFront leads to the replicas by turns, as a balancer does that looks whom it
// reaches.
func (g *ground) dialFront(ctx context.Context, _ string) (conn net.Conn, err error) {
	err = errors.New("no replica is there")
	for range g.lines {
		line := g.lines[int(g.turn.Add(1))%len(g.lines)].api
		if _, up := line.State(); !up {
			continue
		}
		if conn, err = new(net.Dialer).DialContext(ctx, "tcp", line.Address()); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// dialPostgres leads to PostgreSQL, which listens on a socket in the file system.
func (g *ground) dialPostgres(ctx context.Context, _ string) (net.Conn, error) {
	at := must1(pgx.ParseConfig(g.db.URL()))(g.t)
	return new(net.Dialer).DialContext(ctx, "unix", fmt.Sprintf("%s/.s.PGSQL.%d", at.Host, at.Port))
}

// databaseAt is the database's URL by a line.
func (g *ground) databaseAt(line *wan.Relay) string {
	at := must1(pgx.ParseConfig(g.db.URL()))(g.t)
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", at.User, line.Address(), at.Database)
}

// A cutting is lines that are cut together, found when it happens.
type cutting func(*ground) wan.Relays

func (c cutting) cut(g *ground) error  { c(g).Cut(); return nil }
func (c cutting) heal(g *ground) error { c(g).Heal(); return nil }

// The lines of everybody who has some.
var (
	ofWAN      cutting = func(g *ground) wan.Relays { return g.wan }
	ofServer   cutting = func(g *ground) wan.Relays { return append(g.lines[0].all(), g.wan...) } // its bus is in it
	ofReplica  cutting = func(g *ground) wan.Relays { return g.lines[0].all() }
	ofPostgres cutting = func(g *ground) (all wan.Relays) {
		for _, l := range g.lines {
			all = append(all, l.database)
		}
		return all
	}
	ofNATS cutting = func(g *ground) (all wan.Relays) {
		for _, l := range g.lines {
			all = append(all, l.bus)
		}
		return append(all, g.wan[1])
	}
)

// cutAgent cuts the agent off from everybody: the control plane, its machines and
// their BMCs.
func (g *ground) cutAgent() error {
	g.wan.Cut()
	g.rack.CutOff(true)
	return nil
}

func (g *ground) healAgent() error {
	g.wan.Heal()
	g.rack.CutOff(false)
	return nil
}

// stallWAN has what is sent over the WAN arrive only when the time is over: nobody
// is told that the line does not carry.
func (g *ground) stallWAN() error {
	g.wan.Turn(wan.Weather{Delay: g.lasts})
	return nil
}

func (g *ground) flowWAN() error {
	g.wan.Turn(wan.Weather{})
	return nil
}
