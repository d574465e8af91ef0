package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/api"
)

// Of many workflows the sum is shown, each that fails is named with its reason
// when it does, and some that fail are an exit code of their own.
func TestManyAreWaitedForAsOne(t *testing.T) {
	began := time.Now().Add(-time.Minute)
	workflows := make([]sprout.Workflow, mostFollowed+2)
	for i := range workflows {
		workflows[i] = sprout.Workflow{ID: sprout.WorkflowID(fmt.Sprintf("wfl_%d", i)), Kind: "deploy", MachineName: fmt.Sprintf("m%d", i), State: sprout.Running, Step: "write-image", CreatedAt: began}
	}
	plane := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		name, one := strings.CutPrefix(r.URL.Path, "/v1/workflows/")
		if !one {
			page := api.Page[sprout.Workflow]{Items: []sprout.Workflow{}}
			_ = json.NewEncoder(w).Encode(page) // none runs any more
			return
		}
		ended := began.Add(10 * time.Second)
		now := api.VersionedWorkflow{Version: "2", Workflow: sprout.Workflow{ID: sprout.WorkflowID(name), Kind: "deploy", MachineName: "m" + strings.TrimPrefix(name, "wfl_"), State: sprout.Succeeded, CreatedAt: began, EndedAt: &ended}}
		if name == "wfl_3" {
			now.State, now.Error = sprout.FailedRun, &sprout.Failure{Step: "boot-ramdisk", Code: sprout.NoRamdisk, Reason: "it never reported", Remedy: "sprout workflow retry wfl_3"}
		}
		_ = json.NewEncoder(w).Encode(now)
	}))
	defer plane.Close()
	var out, errs strings.Builder
	e := newEnv(strings.NewReader(""), &out, &errs)
	e.getenv = func(name string) string {
		return map[string]string{"SPROUT_SERVER": plane.URL, "SPROUT_TOKEN": "x"}[name]
	}
	if code := exitOf(e.wait(t.Context(), workflows)); code != exitPartly {
		t.Errorf("exit code %d", code)
	}
	for _, words := range []string{"m3  failed at boot-ramdisk: it never reported", "deploy of 12 machines: 11 succeeded, 1 failed", "12 machines: 11 succeeded, 1 did not; half took at most 10s"} {
		if !strings.Contains(out.String(), words) {
			t.Errorf("it says %q, without %q", out.String(), words)
		}
	}
	if !strings.Contains(errs.String(), "sprout workflow retry wfl_3") || strings.Contains(out.String(), "m4 ") {
		t.Errorf("%q, %q", out.String(), errs.String())
	}
}
