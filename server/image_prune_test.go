package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/api"
	"sprout/client"
	"sprout/server"
)

// prunable is a server with images of which each is needed for another reason, or for
// none, and with files that are no image's.
func prunable(t *testing.T) (p plane, dir string) {
	p, _, db := populated(t, func(c *server.Config) { dir = filepath.Join(c.Dir, "images") }) // stable is i0
	for _, name := range []string{"run", "asked", "failed", "unused", "same", "young"} {
		content := (name + strings.Repeat(name[:1], 4096))[:4096]
		if name == "same" { // as an image that is needed has it
			content = ("run" + strings.Repeat("r", 4096))[:4096]
		}
		must(p.admin.ImportImage(t.Context(), api.ImportImage{Name: name, Content: strings.NewReader(content)}, 4096))(t)
	}
	for _, statement := range []string{
		`UPDATE image SET created_at = now() - interval '31 days' WHERE name <> 'young'`,
		`UPDATE machine SET state = 'deployed', image = 'run', image_digest = (SELECT digest FROM image WHERE name = 'run') WHERE name = 'm2'`,
		`UPDATE machine SET state = 'allocated' WHERE name = 'm1'`,
	} {
		if _, err := db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	var deploy api.DeployMachine
	deploy.Machine, deploy.Body.Image = "m1", "asked"
	must(client.Call(t.Context(), p.admin, api.MachineDeploy, deploy))(t)
	p.machine(t, "lon1", "m3", "52:54:00:00:00:23")
	if _, err := db.Exec(t.Context(), `INSERT INTO workflow (site, id, kind, machine, actor, state, version, run, created_at, ended_at)
		SELECT site, 'wfl_failed', 'deploy', id, 'admin', 'failed', 1, jsonb_build_object('input', jsonb_build_object('image', jsonb_build_object('digest', (SELECT digest FROM image WHERE name = 'failed')))), now(), now()
		FROM machine WHERE name = 'm3'`); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sha256/" + strings.Repeat("ab", 32), "partial/import-1"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("left"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p, dir
}

func prune(t *testing.T, p plane, days int, plan bool) map[string]string {
	t.Helper()
	var in api.PruneImages
	in.Body.Plan, in.Body.Days = plan, &days
	out := must(client.Call(t.Context(), p.admin, api.ImagePrune, in))(t)
	came := map[string]string{}
	for _, item := range out.Items {
		came[item.Name] = strings.TrimSpace(item.Outcome + " " + item.Why)
	}
	return came
}

// What an alias, a machine or a deploy needs stays, and so does what is young; of a
// plan all does. Bytes that another image has stay with it.
func TestOnlyWhatNothingNeedsIsPruned(t *testing.T) {
	p, dir := prunable(t)
	want := map[string]string{
		"i0": "kept stable means it", "run": "kept m2 is deployed with it", "same": "kept m2 is deployed with it", "asked": "kept m1 is being deployed with it",
		"failed": "kept the deploy of m3 did not end well, and may be tried again with it",
		"young":  "kept it is younger than 30 days", "unused": "would-remove", "i1": "would-remove",
	}
	check := func(came map[string]string) {
		t.Helper()
		for name, says := range want {
			if came[name] != says {
				t.Errorf("%s: %q, want %q", name, came[name], says)
			}
		}
		for name, says := range came {
			if want[name] == "" {
				t.Errorf("%s: %s", name, says)
			}
		}
	}
	before := files(t, dir)
	check(prune(t, p, 30, true))
	if now := files(t, dir); len(now) != len(before) {
		t.Errorf("a plan removed files: of %v there are %v", before, now)
	}
	want["unused"], want["i1"] = "removed", "removed"
	check(prune(t, p, 30, false))
	delete(want, "unused")
	delete(want, "i1")
	want["young"] = "removed"
	part := filepath.Join(dir, "partial", "import-1")
	old := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(part, old, old); err != nil {
		t.Fatal(err)
	}
	want["partial/import-1"] = "removed" // what is whole and no image's is not an hour old
	check(prune(t, p, 0, false))
	if now := files(t, dir); len(now) != 5 { // i0, run and same, asked, failed, what is no image's
		t.Errorf("the store has %v", now)
	}
	for _, ref := range []string{"i0", "run", "same", "asked", "failed"} {
		content, err := p.admin.ImageContent(t.Context(), ref)
		if err != nil {
			t.Errorf("%s is kept, and has no bytes: %v", ref, err)
			continue
		}
		_ = content.Close()
	}
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	for _, sub := range []string{"sha256", "partial"} {
		for _, f := range must(os.ReadDir(filepath.Join(dir, sub)))(t) {
			names = append(names, sub+"/"+f.Name())
		}
	}
	return names
}

// Imports of the same bytes while an image with them is deleted, again and again: what is on
// record has its bytes, whichever came first.
func TestNoImageLosesItsBytesToAnother(t *testing.T) {
	p := run(t)
	const content = "the same bytes "
	raw := strings.Repeat(content, 1024)[:4096]
	for n := range 20 {
		name := "first" + string(rune('a'+n))
		must(p.admin.ImportImage(t.Context(), api.ImportImage{Name: name, Content: strings.NewReader(raw)}, 4096))(t)
		gone := make(chan error)
		go func() {
			_, err := client.Call(t.Context(), p.admin, api.ImageDelete, api.ImageRef{Image: name})
			gone <- err
		}()
		_, err := p.admin.ImportImage(t.Context(), api.ImportImage{Name: "second", Content: strings.NewReader(raw)}, 4096)
		if deleted := <-gone; deleted != nil {
			t.Fatal(deleted)
		}
		switch body, read := p.admin.ImageContent(t.Context(), "second"); {
		case err == nil && read != nil:
			t.Fatalf("an image is on record and has no bytes: %v", read)
		case err != nil && sprout.KindOf(err) != sprout.Conflict:
			t.Fatal(err)
		case err == nil:
			_ = body.Close()
			must(client.Call(t.Context(), p.admin, api.ImageDelete, api.ImageRef{Image: "second"}))(t)
		}
	}
}
