package agent

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"sprout"
	"sprout/sim"
)

// What a BMC fetches is there for the token of the one boot attempt, in its own
// URL, from the power-on on, and no more once the ramdisk's work is over.
func TestMediaAreForOneAttempt(t *testing.T) {
	s := newStoppedSite(t)
	urls := make(chan string, 2)
	m, err := sim.New(sim.Config{Spec: sim.Spec{Name: "m1", MACs: []string{"52:54:00:31:01:01"}, BootMode: sprout.UEFI}, Wire: s.wire(), Faults: []sim.Fault{{Kind: sim.Silent, Step: sim.StepMedia}}})
	if err != nil {
		t.Fatal(err)
	}
	id := s.plug("m1", "52:54:00:31:01:01", netip.MustParseAddr("127.31.0.201"), &told{m, urls}, true)
	work := deployWork(s.testCentre, "wfl_m1/1", 1)
	work.Machine = id
	work.Input, _ = json.Marshal(sprout.DeployWork{Image: s.imageNoun(), Hostname: "m1.lon1.example"})
	s.change(true, sprout.ChangeWork, work.ID, work)
	url := <-urls
	words := strings.Split(url, "/") // http: "" host media ATTEMPT TOKEN boot.iso
	if len(words) != 7 || words[3] != "media" || words[6] != "boot.iso" {
		t.Fatalf("the BMC was given %s", url)
	}
	status := func(url string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		raw, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(raw)
	}
	code, cd := status(url)
	if code != http.StatusOK || !strings.Contains(cd, "sprout.ip=127.31.0.201/24") || !strings.Contains(cd, "not really vmlinuz") {
		t.Errorf("the CD: %d, %d bytes", code, len(cd))
	}
	if strings.Contains(cd, words[5]) {
		t.Error("the CD holds the token of its own URL, which its ramdisk has no use for")
	}
	_, after, _ := strings.Cut(cd, "sprout.token=")
	ramdisk, _, _ := strings.Cut(after, "'")
	for what, wrong := range map[string]string{
		"another attempt":     strings.Replace(url, words[4], "att_1", 1),
		"another token":       strings.Replace(url, words[5], "x"+words[5], 1),
		"the ramdisk's token": strings.Replace(url, words[5], ramdisk, 1),
		"metadata":            strings.Replace(url, "/media/", "/metadata/", 1),
	} {
		if code, body := status(wrong); code != http.StatusForbidden || strings.Contains(body, words[5]) {
			t.Errorf("%s: %d %s, want 403 without the token", what, code, body)
		}
	}
	s.change(true, sprout.ChangeCancel, work.ID, nil)
	if got := s.awaitEnd(work.ID); got.State == sprout.Succeeded {
		t.Fatalf("the work ended as %s", got.State)
	}
	if code, _ := status(url); code != http.StatusForbidden {
		t.Errorf("after the work has ended the CD is answered %d, want 403", code)
	}
	for _, f := range s.taken() {
		if strings.Contains(string(f.Body), words[5]) {
			t.Errorf("the fact %s tells the token: %s", f.Kind, f.Body)
		}
	}
}

// told is a simulated machine that tells what is inserted into it.
type told struct {
	*sim.Machine
	urls chan string
}

func (m *told) InsertMedia(ctx context.Context, url string) error {
	err := m.Machine.InsertMedia(ctx, url)
	m.urls <- url
	return err
}
