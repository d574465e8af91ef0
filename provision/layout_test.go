package provision

import (
	"encoding/json"
	"strings"
	"testing"

	"sprout"
	"sprout/workflow"
)

// An agent that knows no layouts finds no disk for the work of one, and says why: it would
// write an archive as if it were a disk's image. One that knows them goes by the rule.
func TestAnAgentWithoutLayoutsFindsNoDisk(t *testing.T) {
	disks := []sprout.Disk{{Name: "vda", Serial: "A", Bytes: 1 << 40}}
	for _, layout := range []*sprout.Layout{nil, {Name: "plain", Disks: 1}} {
		w := newCentreWorld(sprout.Allocated)
		c := &workflow.Call[tx]{Run: workflow.Run{ID: "wfl_1", Kind: Deploy}}
		raw, err := json.Marshal(DeployInput{Machine: "mch_1", Image: testImage, Disk: sprout.DiskRule{Serial: "A"}, Disks: disks, Layout: layout, Network: &sprout.NetworkConfig{}})
		if err != nil {
			t.Fatal(err)
		}
		c.Run.Input = raw
		work, err := centre[tx]{w}.deployWork(t.Context(), c, sprout.Machine{ID: "mch_1"})
		if err != nil {
			t.Fatal(err)
		}
		sent, err := json.Marshal(work)
		if err != nil {
			t.Fatal(err)
		}
		var old struct{ Disk sprout.DiskRule } // all that an agent before layouts reads
		var now sprout.DeployWork
		if err := json.Unmarshal(sent, &old); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(sent, &now); err != nil {
			t.Fatal(err)
		}
		_, _, failure := old.Disk.Choose(disks, 1)
		if (failure != nil) != (layout != nil) || failure != nil && !strings.Contains(failure.Reason, "upgrade it") {
			t.Errorf("layout %v: an old agent: %v", layout, failure)
		}
		if d, _, failure := now.Rule().Choose(disks, 1); failure != nil || d.Name != "vda" || len(now.Disks) != 1 {
			t.Errorf("layout %v: this agent: %v, %v, named %v", layout, d, failure, now.Disks)
		}
	}
}
