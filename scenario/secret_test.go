package scenario_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"sprout/api"
	"sprout/trust"
)

// A haystack is one place where no secret may be.
type haystack struct {
	where string
	text  []byte
}

// tellNoSecret searches for words everywhere: in all that was logged, at the
// level of debugging; in every answer of the API and what it says of requests
// that hold the words; in all that the command line printed; in every row of the
// database; in the files of the bus, of the control plane and of the agents.
// What is sealed is searched too: there it must not be found either.
func tellNoSecret(s *story, ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 0, "no-secret WORDS…")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	hay := []haystack{{"the log", []byte(s.logged.String())}, {"what was printed", []byte(s.said.String())}}
	hay = append(hay, s.rows(ctx, ts)...)
	hay = append(hay, s.answers(ctx, ts, args)...)
	hay = append(hay, s.files(ts)...)
	for _, secret := range append(args, s.token) {
		needles := written(secret)
		for _, h := range hay {
			for how, n := range needles {
				if i := bytes.Index(h.text, n); i >= 0 {
					ts.Logf("%s holds %q, %s: …%q…", h.where, secret, how, h.text[max(0, i-200):min(len(h.text), i+100)])
					ts.Fatalf("a secret is found")
				}
			}
		}
	}
	total := 0
	for _, h := range hay {
		total += len(h.text)
	}
	if len(hay) < 60 || total < 1<<20 {
		ts.Fatalf("only %d places with %d bytes were searched: the search itself is broken", len(hay), total)
	}
}

// tellUserData checks that the installed system has its user data on its config
// drive, or with ! that it has not.
func tellUserData(s *story, ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, len(args) == 2, "[!] user-data NAME WORDS")
	system, installed := s.slot(ts, args[0]).Machine.Installed()
	if !installed || strings.Contains(system.Drive.UserData, args[1]) == neg {
		ts.Fatalf("%s has the user data %q", args[0], system.Drive.UserData)
	}
}

// written is every way in which a secret may be written down: plain, in
// hexadecimal, and in base64 wherever in a longer text it begins.
func written(secret string) map[string][]byte {
	all := map[string][]byte{"as it is": []byte(secret), "in hexadecimal": []byte(hex.EncodeToString([]byte(secret)))}
	for shift := range 3 {
		raw := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret))
		first := (shift*8 + 5) / 6
		last := (shift + len(secret)) * 8 / 6
		all[fmt.Sprintf("in base64 (%d)", shift)] = []byte(raw[first:last])
	}
	return all
}

// rows is every row of every table, as text.
func (s *story) rows(ctx context.Context, ts *testscript.TestScript) (hay []haystack) {
	conn, err := pgx.Connect(ctx, s.database)
	ts.Check(err)
	defer conn.Close(ctx) //nolint:errcheck // only read
	rows, err := conn.Query(ctx, `SELECT quote_ident(table_name) FROM information_schema.tables WHERE table_schema = 'public'`)
	ts.Check(err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	ts.Check(err)
	for _, table := range tables {
		rows, err := conn.Query(ctx, `SELECT t::text FROM `+table+` t`)
		ts.Check(err)
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		ts.Check(err)
		hay = append(hay, haystack{"table " + table, []byte(strings.Join(list, "\n"))})
	}
	return hay
}

// answers is what the API says to every operation that reads, and to requests
// that are wrong and hold the words.
func (s *story) answers(ctx context.Context, ts *testscript.TestScript, words []string) (hay []haystack) {
	list, err := call(ctx, s, api.WorkflowList, api.ListWorkflows{})
	ts.Check(err)
	var paths []string
	for _, op := range api.Operations() {
		spec := op.Spec()
		if spec.Method != http.MethodGet || strings.Contains(spec.Path, "{image}/content") {
			continue
		}
		path := strings.NewReplacer("{site}", "lon1", "{agent}", "lon1", "{network}", "provisioning", "{machine}", "m1", "{image}", "debian-12").Replace(spec.Path)
		if !strings.Contains(path, "{workflow}") {
			paths = append(paths, path)
			continue
		}
		for _, w := range list.Items {
			paths = append(paths, strings.Replace(path, "{workflow}", string(w.ID), 1))
		}
	}
	for _, path := range paths {
		hay = append(hay, s.ask(ctx, ts, http.MethodGet, path, ""))
	}
	for _, word := range words {
		for _, body := range []string{
			`{"site":"lon1","name":"x","macs":["52:54:00:00:00:99"],"bmc":{"driver":"%s","password":"%[1]s"}}`,
			`{"site":"lon1","name":"x","macs":[],"bmc":{"driver":"redfish","url":"http://x","password":"%s","pasword":"%[1]s"}}`,
			`{"site":"lon1","name":"x","macs":["52:54:00:00:00:99"],"bmc":{"driver":"redfish","password":"%s`,
		} {
			hay = append(hay, s.ask(ctx, ts, http.MethodPost, "/v1/machines", fmt.Sprintf(body, word)))
		}
		hay = append(hay, s.ask(ctx, ts, http.MethodPost, "/v1/machines/m1/deploy", fmt.Sprintf(`{"image":"none","userData":"%s"}`, word)),
			s.ask(ctx, ts, http.MethodPost, "/v1/agents/enrol", fmt.Sprintf(`{"token":"%s","name":"x","version":"x","publicKey":"x","sealKey":"x"}`, word)))
	}
	return hay
}

// ask returns all of an answer, or the beginning of one that does not end.
func (s *story) ask(ctx context.Context, ts *testscript.TestScript, method, path, body string) haystack {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	ca, err := os.ReadFile(s.authority())
	ts.Check(err)
	secure, err := trust.Only(ca)
	ts.Check(err)
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: secure, DisableKeepAlives: true}}
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	ts.Check(err)
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := web.Do(r)
	ts.Check(err)
	defer answer.Body.Close()
	said, _ := io.ReadAll(answer.Body) // a watch is cut off
	return haystack{fmt.Sprintf("the answer to %s %s (%d)", method, path, answer.StatusCode), said}
}

// files is everything that the control plane, its bus and the agents have on
// their disks. The first administrator's token is in a file of its own.
func (s *story) files(ts *testscript.TestScript) (hay []haystack) {
	ts.Check(filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "admin-token" {
			return err
		}
		raw, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil // the bus removes files as it goes
		}
		hay = append(hay, haystack{"file " + strings.TrimPrefix(path, s.dir), raw})
		return err
	}))
	return hay
}
