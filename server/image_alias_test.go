package server_test

import (
	"strings"
	"testing"

	"sprout"
	"sprout/api"
	"sprout/client"
)

// A deploy is of the digest that an alias means when it is asked for, wherever the
// alias goes afterwards.
func TestMovedAliasChangesNoDeploy(t *testing.T) {
	p, _, db := populated(t) // stable is i0
	raw := strings.Repeat("y", 4096)
	second := must(p.admin.ImportImage(t.Context(), api.ImportImage{Name: "i2", Content: strings.NewReader(raw)}, int64(len(raw))))(t)
	first := must(client.Call(t.Context(), p.admin, api.ImageShow, api.ImageRef{Image: "stable"}))(t)
	if _, err := db.Exec(t.Context(), `UPDATE machine SET state = 'allocated' WHERE name = 'm1'`); err != nil {
		t.Fatal(err)
	}
	var deploy api.DeployMachine
	deploy.Machine, deploy.Body.Image = "m1", "stable"
	w := must(client.Call(t.Context(), p.admin, api.MachineDeploy, deploy))(t).Workflow
	var move api.SetImageAlias
	move.Alias, move.Body.Image = "stable", "i2"
	moved := must(client.Call(t.Context(), p.admin, api.ImageAliasSet, move))(t)
	if moved.Digest != second.Digest || moved.By != "admin" {
		t.Errorf("moved to %+v", moved)
	}
	for field, want := range map[string]string{"{image,digest}": first.Digest, "{image,name}": "i0", "{alias}": "stable"} {
		if got := scan[string](t, db, `SELECT coalesce(run #>> ('{input}'::text[] || $2::text[]), '') FROM workflow WHERE id = $1`, w.ID, field); got != want {
			t.Errorf("the deploy has %s %q, want %q", field, got, want)
		}
	}
	for what, err := range map[string]error{
		"an image called as an alias": errOf(p.admin.ImportImage(t.Context(), api.ImportImage{Name: "stable", Content: strings.NewReader(raw)}, int64(len(raw)))),
		"an image under an alias":     errOf(client.Call(t.Context(), p.admin, api.ImageDelete, api.ImageRef{Image: "i2"})),
		"an image that is deployed":   errOf(client.Call(t.Context(), p.admin, api.ImageDelete, api.ImageRef{Image: "i0"})),
	} {
		if sprout.KindOf(err) != sprout.Conflict {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := scan[int](t, db, `SELECT count(*) FROM (SELECT action FROM audit_unsealed UNION ALL SELECT action FROM audit) a WHERE action = 'image alias set'`); n != 2 {
		t.Errorf("%d records of two moves", n)
	}
}

func errOf[T any](_ T, err error) error { return err }
