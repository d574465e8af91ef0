package server

import (
	"testing"
	"time"

	"sprout/image"
)

// A whole file that is no image's goes after an hour: a fetch may be about to record it.
// One of an image goes with the last image that has it, however young it is.
func TestWhichFilesLeave(t *testing.T) {
	now := time.Now()
	goes := map[string]bool{"sha256:goes": true, "sha256:stays": false}
	var left []string
	for _, f := range leaving([]image.Leftover{
		{Name: "goes", Digest: "sha256:goes", At: now},
		{Name: "stays", Digest: "sha256:stays", At: now.Add(-48 * time.Hour)},
		{Name: "fetched", Digest: "sha256:fetched", At: now.Add(-59 * time.Minute)},
		{Name: "lonely", Digest: "sha256:lonely", At: now.Add(-61 * time.Minute)},
		{Name: "part", At: now.Add(-25 * time.Hour)},
	}, goes, now) {
		left = append(left, f.Name)
	}
	if len(left) != 3 || left[0] != "goes" || left[1] != "lonely" || left[2] != "part" {
		t.Errorf("%v leave", left)
	}
}
