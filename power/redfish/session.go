package redfish

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"sprout"
)

// A session is a login at the BMC's session service (DSP0266 section 13.3.4),
// or, where there is none, basic authentication.
type session struct {
	token    string
	location string // to DELETE at the end
	sessions string // path of the Sessions collection; "" before it is known
	basic    bool
	full     bool // basic for want of a session: the next use tries for one again
}

// noSession are the words by which BMCs say that they have no session left: the
// Base registry's (DSP0268), and Dell's.
var noSession = []string{"SessionLimitExceeded", "CreateLimitReachedForResource", "RAC0218"}

func full(res *response) bool {
	words := extendedError(res.body)
	return res.status >= 400 && slices.ContainsFunc(noSession, func(w string) bool { return strings.Contains(words, w) })
}

// login opens a session unless there is one. Without a user name the service
// is used as anybody.
func (p *Driver) login(ctx context.Context) error {
	if p.session.token != "" || p.session.basic || p.config.Username == "" {
		return nil
	}
	if p.session.sessions == "" {
		if err := p.findSessions(ctx); err != nil || p.session.basic {
			return err
		}
	}
	body := map[string]string{"UserName": p.config.Username, "Password": p.config.Password}
	res, err := p.persist(ctx, request{method: http.MethodPost, path: p.session.sessions, body: body, open: true})
	if err != nil {
		return err
	}
	switch token := res.header.Get("X-Auth-Token"); {
	case full(res):
		p.session.basic, p.session.full = true, true
		p.log.Warn("the BMC has no session left; it is asked without one")
		return nil
	case res.status == http.StatusNotFound, res.status == http.StatusMethodNotAllowed, res.status == http.StatusNotImplemented:
		p.session.basic = true
		return nil
	case res.status >= 300:
		return p.refusal(res)
	case token == "":
		return p.fail(sprout.BMCFailed, "cannot log in: the BMC gave no X-Auth-Token", res.what)
	default:
		p.session.token, p.session.location = token, res.header.Get("Location")
		p.found = found{}
		return nil
	}
}

func (p *Driver) findSessions(ctx context.Context) error {
	res, err := p.persist(ctx, request{method: http.MethodGet, path: rootPath, open: true})
	if err != nil {
		return err
	}
	if res.status >= 300 {
		return p.refusal(res)
	}
	var r root
	if err := p.decode(res, &r); err != nil {
		return err
	}
	p.session.sessions = r.Links.Sessions.ID
	p.session.basic = r.Links.Sessions.ID == ""
	return nil
}

// logout ends the session if there is one.
func (p *Driver) logout(ctx context.Context) {
	at := p.session.location
	if p.session.full {
		p.session.basic, p.session.full = false, false
	}
	if p.session.token == "" || at == "" {
		p.session.token = ""
		return
	}
	res, err := p.once(ctx, request{method: http.MethodDelete, path: at})
	var status int
	if res != nil {
		status = res.status
	}
	if err != nil || (status >= 300 && status != http.StatusNotFound && status != http.StatusUnauthorized) {
		p.log.Warn("cannot end the BMC session; it will expire", "status", status, "err", err)
	}
	p.session.token, p.session.location = "", ""
}
