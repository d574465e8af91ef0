package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nkeys"

	"sprout"
	"sprout/sitestore"
	"sprout/trust"
)

// keys are the agent's own: one proves who it is, secrets are sealed to the
// other. Their seeds never leave DataDir.
type keys struct {
	user, seal             []byte // seeds
	userPublic, sealPublic string
}

// openKeys reads the agent's keys, or makes them on the first start.
func openKeys(dir string) (k keys, err error) {
	if k.user, k.userPublic, err = openKey(filepath.Join(dir, "agent.nk"), nkeys.CreateUser); err != nil {
		return k, err
	}
	k.seal, k.sealPublic, err = openKey(filepath.Join(dir, "seal.nk"), nkeys.CreateCurveKeys)
	return k, err
}

func openKey(path string, create func() (nkeys.KeyPair, error)) (seed []byte, public string, err error) {
	seed, err = os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		seed, err = makeKey(path, create)
	}
	if err != nil {
		return nil, "", fmt.Errorf("cannot open the agent's key: %w", err)
	}
	pair, err := nkeys.FromSeed(seed)
	if strings.HasPrefix(string(seed), "SX") {
		pair, err = nkeys.FromCurveSeed(seed)
	}
	if err != nil {
		return nil, "", fmt.Errorf("cannot open the agent's key %s: %w", path, err)
	}
	public, err = pair.PublicKey()
	if err != nil {
		return nil, "", fmt.Errorf("cannot open the agent's key %s: %w", path, err)
	}
	return seed, public, nil
}

// makeKey writes a fresh seed, whole or not at all.
func makeKey(path string, create func() (nkeys.KeyPair, error)) ([]byte, error) {
	pair, err := create()
	if err != nil {
		return nil, err
	}
	seed, err := pair.Seed()
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(seed)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	return seed, os.Rename(path+".new", path)
}

// An enrolment is what the centre gave to this agent.
type enrolment struct {
	Agent sprout.Agent `json:"agent"`
	Site  sprout.Site  `json:"site"`
	Bus   struct {
		URL string `json:"url"`
		JWT string `json:"jwt"`
		CA  string `json:"ca,omitempty"` // by which to trust the bus
	} `json:"bus"`
	After int64  `json:"after"`        // the last change that this agent does not need
	Token string `json:"token"`        // bearer for fetching images
	CA    string `json:"ca,omitempty"` // by which to trust the API
}

// enrolmentKey is where the store keeps it.
const enrolmentKey = "enrolment"

// enrol returns the agent's enrolment; the first time it asks the centre for
// it, and goes on asking while the centre cannot be reached.
func enrol(ctx context.Context, c Config, k keys, store *sitestore.Store, log *slog.Logger) (enrolment, error) {
	var e enrolment
	if done, err := store.ReadMeta(enrolmentKey, &e); err != nil || done {
		return e, err
	}
	token, err := c.token()
	if err != nil {
		return e, err
	}
	secret, fingerprint, err := splitToken(token)
	if err != nil {
		return e, err
	}
	web, err := c.enrolling(fingerprint)
	if err != nil {
		return e, err
	}
	defer web.CloseIdleConnections()
	log.Info("enrolling", "server", c.Server, "name", c.name())
	for pause := 250 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		e, err = askToEnrol(ctx, web, c, k, secret)
		if err == nil {
			break
		}
		if sprout.KindOf(err) != sprout.Unavailable {
			return e, err
		}
		log.Warn("cannot enrol yet; trying again", "pause", pause, "error", err)
		if err := sprout.Pause(ctx, pause); err != nil {
			return e, err
		}
	}
	if err := store.Begin(ctx, enrolmentKey, e, e.After); err != nil {
		return e, err
	}
	log.Info("enrolled", "agent", e.Agent.ID, "site", e.Site.Name)
	return e, nil
}

func askToEnrol(ctx context.Context, web *http.Client, c Config, k keys, token string) (e enrolment, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	body, err := json.Marshal(map[string]any{
		"token": token, "name": c.name(), "version": sprout.Version, "protocol": sprout.Protocol, "publicKey": k.userPublic,
		"sealKey": k.sealPublic, "address": c.own()[0].String(),
	})
	if err != nil {
		return e, fmt.Errorf("cannot enrol: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(c.Server, "/")+"/v1/agents/enrol", bytes.NewReader(body))
	if err != nil {
		return e, fmt.Errorf("cannot enrol: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := web.Do(req)
	if err != nil {
		return e, distrustOr(err, c)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return e, sprout.Errorf(sprout.Unavailable, "cannot enrol: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return e, refusal(resp.StatusCode, raw)
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return e, fmt.Errorf("cannot enrol: the answer of %s cannot be read: %w", c.Server, err)
	}
	if e.Agent.ID == "" || e.Site.ID == "" || e.Bus.URL == "" || e.Bus.JWT == "" {
		return e, fmt.Errorf("cannot enrol: the answer of %s is not whole: is it a Sprout server?", c.Server)
	}
	return e, nil
}

// distrustOr makes an error of a request that failed: a centre that is not
// trusted stays so, one that cannot be reached may come back.
func distrustOr(err error, c Config) error {
	var denied *sprout.Error
	if errors.As(err, &denied) && denied.Kind == sprout.Denied {
		return sprout.Errorf(sprout.Denied, "cannot enrol: %s", denied.Message).
			WithRemedy("compare server with where the token was made; make a fresh one: sprout agent token create --site …")
	}
	distrust := trust.Distrust(err, c.Server, nil)
	if trust.Expired(err) && distrust != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot enrol: the agent %s", distrust.Message)
	}
	if distrust != nil {
		return sprout.Errorf(sprout.Denied, "cannot enrol: the token names no authority, and without it the agent %s", distrust.Message).
			WithRemedy("copy all of the token; or name the authority by ca in the agent's configuration")
	}
	return sprout.Errorf(sprout.Unavailable, "cannot enrol: %w", err)
}

// refusal makes an error of what the centre answered (RFC 9457): why the token
// is not good, in its words, and what helps.
func refusal(status int, raw []byte) error {
	var problem struct {
		Detail string `json:"detail"`
	}
	if err := json.Unmarshal(raw, &problem); err != nil || problem.Detail == "" {
		problem.Detail = http.StatusText(status)
	}
	if status >= 500 || status == http.StatusTooManyRequests {
		return sprout.Errorf(sprout.Unavailable, "cannot enrol: the server says: %s", problem.Detail)
	}
	kind := sprout.Denied
	for _, row := range sprout.ErrorKinds {
		if row.Status == status {
			kind = row.Kind
		}
	}
	return sprout.Errorf(kind, "cannot enrol: the server says: %s", problem.Detail).
		WithRemedy("make a fresh token (it is good once, and not for long): sprout agent token create --site …")
}
