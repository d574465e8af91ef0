package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"sprout"
	"sprout/store"
)

const giveAll = "give the file to every replica and restart it, then: "

// AddKey puts a fresh key behind those of the key file: it opens only, until
// UseKey. It returns how many there are, and what comes next.
func AddKey(_ context.Context, c Config) (int, string, error) {
	return changeKeys(c, giveAll+"sprout server key use", func(keys []string) ([]string, error) {
		return append(keys, strings.TrimSpace(store.FreshKey())), nil
	})
}

// UseKey puts the last key first: it seals, and a server that starts seals anew
// what others sealed.
func UseKey(_ context.Context, c Config) (int, string, error) {
	return changeKeys(c, giveAll+"sprout server key drop", func(keys []string) ([]string, error) {
		last := len(keys) - 1
		if last == 0 {
			return nil, sprout.Errorf(sprout.Conflict, "cannot use a new key: there is one only").WithRemedy("sprout server key add")
		}
		return append([]string{keys[last]}, keys[:last]...), nil
	})
}

// DropKeys removes every key but the first. Conflict while the database holds
// what another sealed.
func DropKeys(ctx context.Context, c Config) (int, string, error) {
	return changeKeys(c, "give the file to every replica", func(keys []string) ([]string, error) {
		if err := c.Check(); err != nil {
			return nil, err
		}
		key, err := c.OpenKey()
		if err != nil {
			return nil, err
		}
		s, err := store.Open(ctx, c.Database.URL, 0, store.Config{Key: key})
		if err != nil {
			return nil, err
		}
		defer s.Close()
		left, err := s.SealedByOthers(ctx)
		if err != nil {
			return nil, err
		}
		if left > 0 {
			return nil, sprout.Errorf(sprout.Conflict, "cannot drop keys: %d secrets are not sealed with the first one yet", left).
				WithRemedy("restart a server with this key file, and wait until it logs that secrets are sealed anew")
		}
		return keys[:1], nil
	})
}

// changeKeys changes the key file, whole or not at all: without it every secret
// is lost.
func changeKeys(c Config, next string, change func([]string) ([]string, error)) (int, string, error) {
	if c.Key != "" {
		return 0, "", sprout.InvalidField("key", "the keys are not in a file: change the setting itself, with the one that seals first")
	}
	if _, err := c.OpenKey(); err != nil { // it also makes a missing one
		return 0, "", err
	}
	path := c.KeyPath()
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0, "", fmt.Errorf("cannot read the key of secrets: %w", err)
	}
	keys, err := change(strings.Fields(string(raw)))
	if err != nil {
		return 0, "", err
	}
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, "", fmt.Errorf("cannot write the key of secrets: %w", err)
	}
	_, err = f.WriteString(strings.Join(keys, "\n") + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return 0, "", fmt.Errorf("cannot write the key of secrets: %w", err)
	}
	return len(keys), next, nil
}
