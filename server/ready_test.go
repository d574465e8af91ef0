package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"testing"

	"sprout/bus"
	"sprout/postgres"
	"sprout/server"
	"sprout/store/storetest"
)

// notReady asks what is not ready.
func (p plane) notReady(t *testing.T) func() ([]string, error) {
	return func() ([]string, error) {
		answer, err := http.Get(p.URL() + "/readyz") //nolint:noctx // of this test only
		if err != nil {
			return nil, err
		}
		defer answer.Body.Close()
		raw, err := io.ReadAll(answer.Body)
		if err != nil {
			return nil, err
		}
		var said struct {
			Status string   `json:"status"`
			Parts  []string `json:"parts"`
		}
		err = json.Unmarshal(raw, &said)
		if want := map[int]string{200: "ready", 503: "not ready"}[answer.StatusCode]; said.Status != want {
			t.Errorf("%d says %q", answer.StatusCode, said.Status)
		}
		return said.Parts, err
	}
}

// The server says that the database is away, and lives; so it does for the bus,
// and is ready again when that returns.
func TestReadyNamesWhatIsAway(t *testing.T) {
	t.Run("database", func(t *testing.T) {
		dir := storetest.Dir(t)
		quiet := slog.New(slog.DiscardHandler)
		db := must(postgres.Start(t.Context(), postgres.Config{Dir: dir, Log: quiet, Unsafe: true}))(t)
		t.Cleanup(func() { _ = db.Stop() })
		p := run(t, func(c *server.Config) { c.Database.URL, c.Log = db.URL(), quiet })
		if parts := must(p.notReady(t)())(t); len(parts) != 0 {
			t.Errorf("not ready: %v", parts)
		}
		if err := db.Stop(); err != nil {
			t.Fatal(err)
		}
		eventually(t, p.notReady(t), func(parts []string) bool { return slices.Contains(parts, "database") })
		if answer, fault := p.ask(t, "GET", "/v1/machines", p.token, ""); answer.status < 500 || fault.Request == "" {
			t.Errorf("%d %+v", answer.status, fault)
		}
		if answer, _ := p.ask(t, "GET", "/healthz", "", ""); answer.status != 200 {
			t.Errorf("it counts as dead: %d", answer.status)
		}
	})
	t.Run("bus", func(t *testing.T) {
		url, dir := storetest.NewURL(t), t.TempDir()
		at := freePort(t)
		hub, config := startHubAt(t, url, dir, at)
		p := run(t, replica(t, "one", url, dir, hub.URL()))
		if parts := must(p.notReady(t)())(t); len(parts) != 0 {
			t.Errorf("not ready: %v", parts)
		}
		hub.Close(t.Context())
		eventually(t, p.notReady(t), func(parts []string) bool { return slices.Equal(parts, []string{"bus"}) })
		again := must(bus.StartServer(config))(t)
		t.Cleanup(func() { again.Close(context.Background()) })
		eventually(t, p.notReady(t), func(parts []string) bool { return len(parts) == 0 })
	})
}

// A panic is answered by 500 without its words, and logged with them, under the
// id of the request.
func TestPanicIsMaskedAndLogged(t *testing.T) {
	var log bytes.Buffer
	fault, id := server.PanicIn(t, slog.New(slog.NewTextHandler(&log, nil)), "the secret word")
	if fault.Status != 500 || fault.Request != id || id == "" || bytes.Contains([]byte(fault.Detail), []byte("secret")) {
		t.Errorf("answered %+v under %q", fault, id)
	}
	for _, want := range []string{"the secret word", id, "panic in a request"} {
		if !bytes.Contains(log.Bytes(), []byte(want)) {
			t.Errorf("the log has no %q: %s", want, log.String())
		}
	}
}
