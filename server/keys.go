package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/bus"
	"sprout/store"
	"sprout/trust"
)

// BusKeys returns the keys of the installation's bus, which a cluster must trust
// too: they are made once and kept sealed in the database.
func BusKeys(ctx context.Context, s *store.Store) (keys bus.Keys, err error) {
	raw, err := s.Setting(ctx, "bus-keys", func() ([]byte, error) {
		keys, err := bus.NewKeys()
		if err != nil {
			return nil, err
		}
		return json.Marshal(keys)
	})
	if err != nil {
		return keys, err
	}
	if err := json.Unmarshal(raw, &keys); err != nil {
		return keys, fmt.Errorf("cannot read the bus keys: %w", err)
	}
	return keys, nil
}

// openBus starts the embedded bus, or joins the cluster.
func (s *Server) openBus(ctx context.Context) (err error) {
	if s.keys, err = BusKeys(ctx, s.store); err != nil {
		return err
	}
	authorities, err := s.busAuthority()
	if err != nil {
		return err
	}
	c := bus.CentreConfig{URL: s.config.Bus.URL, Keys: s.keys, Replicas: s.config.Bus.Replicas, Log: s.log}
	if len(authorities) > 0 {
		if c.TLS, err = trust.Only(authorities); err != nil {
			return err
		}
	}
	if s.config.Bus.URL == "" {
		if err := s.startBus(ctx); err != nil {
			return err
		}
		c.Server = s.embedded
	}
	if s.bus, err = bus.ConnectCentre(ctx, c); err != nil {
		return err
	}
	return s.addSites(ctx)
}

func (s *Server) startBus(ctx context.Context) error {
	revoked, err := s.store.RetiredKeys(ctx)
	if err != nil {
		return err
	}
	s.embedded, err = bus.StartServer(bus.Config{
		Dir: filepath.Join(s.config.Dir, "bus"), Listen: s.config.Bus.Listen, Keys: s.keys, Revoked: revoked, TLS: s.busTLS(), Log: s.log,
	})
	return err
}

// addSites makes the consumers anew of a bus that lost its disk.
func (s *Server) addSites(ctx context.Context) error {
	agents, err := all(func(page store.Page) ([]sprout.Agent, string, error) {
		return s.store.Agents(ctx, store.AgentFilter{Page: page})
	})
	if err != nil {
		return err
	}
	for _, a := range agents {
		if err := s.bus.AddSite(ctx, a.Site); err != nil {
			return err
		}
	}
	return nil
}

// firstToken makes the first administrator's token where the installation has
// none at all, and writes it to a file that only its owner may read.
func (s *Server) firstToken(ctx context.Context) error {
	tokens, _, err := s.store.Tokens(ctx, store.TokenFilter{Page: store.Page{Limit: 1}})
	if err != nil || len(tokens) > 0 {
		return err
	}
	secret := sprout.NewSecret()
	file := s.config.adminFile()
	// The file comes first: a token that nobody knows would lock everybody out.
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		return sprout.InvalidField("adminTokenFile", "cannot write it: %v", err)
	}
	err = s.store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		made, err := s.store.PutToken(ctx, tx, sprout.Token{Name: "admin", Kind: sprout.FirstToken, Role: sprout.Admin}, secret)
		if err != nil {
			return err
		}
		return s.store.Audit(ctx, tx, sprout.AuditRecord{Actor: systemActor, Action: "token create", Subject: string(made.ID), Name: made.Name, Outcome: "done", Detail: "first start"})
	})
	if err != nil {
		return errors.Join(err, os.Remove(file))
	}
	s.log.Info("first administrator's token is written; it never expires: make others with it, then revoke it", "file", file)
	return nil
}
