package agent

import (
	"fmt"
	"io"
	"net/http"

	"sprout"
	"sprout/metadata"
	"sprout/provision"
	"sprout/sitestore"
)

// metadata tells an installed system what it is. Its URL has a token that is for
// this alone, of the boot attempt that installed it, and over as soon as the
// system has reported: who comes later, or knows no more than the machine's MAC,
// address or id, gets nothing.
func (s *site) metadata(w http.ResponseWriter, r *http.Request) {
	a, err := s.admitted(r, sitestore.MetadataUse)
	var i metadata.Instance
	if err == nil {
		i, err = s.instance(r, a)
	}
	var body string
	if err == nil {
		body, err = i.Answer(r.PathValue("path"))
	}
	if err != nil {
		s.answer(w, r, err)
		return
	}
	s.saw(a.ID)
	if r.Method == http.MethodGet {
		s.boots.told(a, r)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if _, err := io.WriteString(w, body); err != nil {
		s.log.Debug("metadata not sent to its end", "attempt", a.ID, "error", err)
	}
}

// admitted is the attempt whose token for the use is in the request's URL, beside
// the attempt's id.
func (s *site) admitted(r *http.Request, use sitestore.Use) (sitestore.Attempt, error) {
	a, err := s.store.Admit(r.PathValue("token"), use)
	if err == nil && string(a.ID) != r.PathValue("attempt") {
		err = sprout.Errorf(sprout.Denied, "cannot admit the token: it is of another boot attempt")
	}
	return a, err
}

// instance is what the attempt installs, with its user data opened.
func (s *site) instance(r *http.Request, a sitestore.Attempt) (i metadata.Instance, err error) {
	ids, err := s.store.LiveRuns(a.Machine)
	if err != nil {
		return i, err
	}
	err = sprout.Errorf(sprout.NotFound, "there is no metadata: the work of boot attempt %s is over", a.ID)
	for _, id := range ids {
		run, failed := s.store.Get(r.Context(), id)
		if failed != nil {
			return i, failed
		}
		var sealed []byte
		if i, sealed, err = provision.InstanceOf(run, a.ID); err != nil {
			continue
		}
		if len(sealed) > 0 {
			if i.UserData, err = s.unseal(sealed); err != nil {
				return i, fmt.Errorf("cannot open the user data of %s: %w", id, err)
			}
		}
		return i, nil
	}
	return i, err
}
