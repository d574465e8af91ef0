package agent

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"time"

	"sprout"
)

// A Status is what an agent says of itself on GET /healthz.
type Status struct {
	Agent     sprout.AgentID `json:"agent"`
	Site      string         `json:"site"`
	Version   string         `json:"version"`
	Started   time.Time      `json:"started"`
	Connected bool           `json:"connected" doc:"The bus is there"`
	Address   bool           `json:"address" doc:"This host has the provisioning network's address"`
	Applied   int64          `json:"applied" doc:"Last change of the site's state that is held"`
	Outbox    int            `json:"outbox" doc:"Facts that the centre has not acknowledged"`
	Runs      []string       `json:"runs" doc:"Work that goes on"`
	Leases    int            `json:"leases"`
	Downloads int            `json:"downloads" doc:"Machines whose turn it is to download an image"`
	Waiting   int            `json:"waiting" doc:"Machines that wait for their turn"`
}

// serveStatus answers /healthz on the loopback or on a socket in DataDir. A site
// that cannot is served all the same.
func (s *site) serveStatus(ctx context.Context) error {
	network, at := "tcp", s.config.Status
	if at == "" {
		network, at = "unix", s.config.path("agent.sock")
		if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return sprout.Errorf(sprout.Unavailable, "cannot replace %s: %w", at, err)
		}
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, network, at)
	if err != nil {
		s.log.Error("status is not served", "at", at, "error", err)
		return nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		status, err := s.status()
		if err == nil {
			err = writeJSON(w, status)
		}
		s.answer(w, r, err)
	})
	return serveHTTP(ctx, listener, mux)
}

func (s *site) status() (status Status, err error) {
	status = Status{
		Agent: s.enrol.Agent.ID, Site: s.enrol.Site.Name, Version: sprout.Version, Started: s.started,
		Connected: s.bus.Connected(), Address: s.hasAddress(), Leases: len(s.store.Leases()),
	}
	status.Downloads, status.Waiting = s.turns.count()
	if status.Applied, err = s.store.Applied(); err != nil {
		return status, err
	}
	if status.Outbox, _, err = s.store.Outbox(); err != nil {
		return status, err
	}
	status.Runs, err = s.store.LiveRuns("")
	return status, err
}
