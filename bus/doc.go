// Package bus carries news between the centre and its sites over NATS: changes
// of a site's state down, facts up, and what is only of interest now beside
// them. It embeds a server for installations that have no cluster of their own.
//
// It must not know what a change or a fact means, and it is never the truth:
// losing every message costs time, because the centre repairs from its outbox
// and a site keeps its facts until they are acknowledged.
//
// All sites share the streams; what keeps them apart is the user JWT of each
// agent (see Keys.UserJWT) and the stamp that every message bears (see stamp).
package bus

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"sprout"
)

// The two streams. A site's subject in each is the stream's name, a dot and the
// site's id; facts have another dot and the id of the agent behind it, because
// they are the agent's: what one left behind that was replaced is told apart.
const (
	downStream = "down" // centre → site: sprout.Change
	upStream   = "up"   // site → centre: sprout.Fact
)

// Subjects without a stream.
const (
	liveSubject = "live" // site → centre: sprout.Live
	beatSubject = "beat" // site → centre: sprout.Heartbeat
	askSubject  = "ask"  // centre → site: sprout.Question, answered by sprout.Live
)

// ackWait is how long a taken message may stay unanswered before it is
// delivered again.
const ackWait = 30 * time.Second

// repeatWithin is how long the hub knows what it has stored, so that what is sent
// again after a lost answer is stored once. Each such id costs it memory for as
// long; what is sent again later is stored twice, and told from its number by
// who takes it.
const repeatWithin = 20 * time.Second

func subject(kind string, site sprout.SiteID) string { return kind + "." + string(site) }

// siteOf returns the site of a subject that subject or factSubject made.
func siteOf(subj string) sprout.SiteID {
	_, rest, _ := strings.Cut(subj, ".")
	site, _, _ := strings.Cut(rest, ".")
	return sprout.SiteID(site)
}

// factSubject is where the facts of a site's agent go.
func factSubject(site sprout.SiteID, agent sprout.AgentID) string {
	return subject(upStream, site) + "." + string(agent)
}

// agentOf returns the agent of a subject that factSubject made.
func agentOf(subj string) sprout.AgentID {
	_, rest, _ := strings.Cut(subj, ".")
	_, agent, _ := strings.Cut(rest, ".")
	return sprout.AgentID(agent)
}

// inboxPrefix is where a site's agent receives answers.
func inboxPrefix(site sprout.SiteID) string { return "_INBOX_" + string(site) }

// checkSite refuses an id that would be more, or less, than one subject token.
func checkSite(site sprout.SiteID) error { return checkToken("site", string(site)) }

// checkAgent does so for an agent's id.
func checkAgent(agent sprout.AgentID) error { return checkToken("agent", string(agent)) }

func checkToken(noun, id string) error {
	if id == "" || strings.ContainsAny(id, ".*> \t\r\n") {
		return sprout.InvalidField(noun, "cannot use %q as a %s: it must be the id of one %s", id, noun, noun)
	}
	return nil
}

// stampHeader holds the subject that a message was published on. NATS does not
// check the reply subject of a publisher, so an agent could have JetStream
// itself answer onto the subject of another site; such a message lacks the
// stamp, or bears that of the agent's own subject, and is dropped.
const stampHeader = "Sprout-Subject"

// message makes a stamped message.
func message(subj string, v any) (*nats.Msg, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("cannot encode a message for %s: %w", subj, err)
	}
	m := nats.NewMsg(subj)
	m.Header.Set(stampHeader, subj)
	m.Data = body
	return m, nil
}

// decode checks the stamp of a message and decodes its body into v.
func decode(subj string, header nats.Header, body []byte, v any) error {
	if got := header.Get(stampHeader); got != subj {
		return sprout.Errorf(sprout.Denied, "cannot take a message on %s: it is stamped %q", subj, got)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return sprout.Errorf(sprout.Invalid, "cannot read a message on %s: %w", subj, err)
	}
	return nil
}
