package server_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"sprout"
	"sprout/api"
	"sprout/client"
	"sprout/server"
)

func TestImageIsReadBackAsItWasSent(t *testing.T) {
	p := run(t)
	raw := bytes.Repeat([]byte("sprout "), 1<<16)
	i := must(p.admin.ImportImage(t.Context(), api.ImportImage{Name: "small", Content: bytes.NewReader(raw)}, int64(len(raw))))(t)
	if i.Bytes != int64(len(raw)) || i.Name != "small" {
		t.Fatalf("imported as %+v", i)
	}
	for _, ref := range []string{i.Name, i.Digest} {
		content := must(p.admin.ImageContent(t.Context(), ref))(t)
		got, err := io.ReadAll(content)
		if err != nil || content.Close() != nil || !bytes.Equal(got, raw) {
			t.Errorf("%s: other bytes came back: %d, %v", ref, len(got), err)
		}
	}
	for _, c := range []struct {
		header, value string
		status        int
		says          string
	}{
		{"Range", "bytes=0-5", 206, "sprout"},
		{"Range", "bytes=0-1,4-5", 206, "multipart"},
		{"Range", "bytes=9999999-", 416, "the content is 458752 bytes"},
		{"If-Match", `"another"`, 412, "If-Match"},
		{"If-Match", `"` + i.Digest + `"`, 200, "sprout"},
		{"If-None-Match", `"` + i.Digest + `"`, 304, ""},
	} {
		answer, body, _ := p.exchange(t, "GET", "/v1/images/small/content", "", map[string]string{c.header: c.value})
		if answer.StatusCode != c.status || !strings.Contains(answer.Header.Get("Content-Type")+body, c.says) {
			t.Errorf("%s: %s answers %d %.200s", c.header, c.value, answer.StatusCode, body)
		}
	}
	if _, err := client.Call(t.Context(), p.admin, api.ImageDelete, api.ImageRef{Image: i.Name}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.admin.ImageContent(t.Context(), i.Name); sprout.KindOf(err) != sprout.NotFound {
		t.Errorf("a deleted image: %v", err)
	}
}

// What unpacks to more than may be is refused, whichever way it comes.
func TestImageThatUnpacksToMoreThanMayBe(t *testing.T) {
	var packed bytes.Buffer
	z, err := zstd.NewWriter(&packed, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	for zeros, n := make([]byte, 1<<20), 0; n <= 1_000_000_000; n += len(zeros) {
		if _, err := z.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(packed.Bytes()) }))
	t.Cleanup(web.Close)
	p := run(t, func(c *server.Config) { c.Images.MostRaw, c.Images.Allow = 1, []string{"127.0.0.0/8"} })
	_, sent := p.admin.ImportImage(t.Context(), api.ImportImage{Name: "bomb", Content: bytes.NewReader(packed.Bytes())}, int64(packed.Len()))
	ask := api.FetchImage{Image: "bomb"}
	ask.Body.URL, ask.Body.Unverified = web.URL+"/bomb", true
	var got api.FetchedImage
	fetched := error(nil)
	for fetched == nil && got.Image == nil {
		got, fetched = client.Call(t.Context(), p.admin, api.ImageFetch, ask)
	}
	for what, err := range map[string]error{"sent": sent, "fetched": fetched} {
		var refused *sprout.Error
		if !errors.As(err, &refused) || refused.Kind != sprout.Invalid || !strings.Contains(err.Error(), "expected 1000000000 bytes at most once decompressed, found more") || !strings.Contains(refused.Remedy, "images.mostRaw") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// An image that is fetched is asked for again until it is there; then whoever
// asks for the same has it, and who asks for another under its name does not.
func TestImageIsFetched(t *testing.T) {
	raw := bytes.Repeat([]byte("sprout "), 1<<16)
	gate := make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		half := len(raw) / 2
		w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
		_, _ = w.Write(raw[:half])
		_ = http.NewResponseController(w).Flush()
		<-gate
		_, _ = w.Write(raw[half:])
	}))
	t.Cleanup(web.Close)
	p := run(t, func(c *server.Config) { c.Images.Allow = []string{"127.0.0.0/8"} })
	ask := api.FetchImage{Image: "far"}
	ask.Body.URL, ask.Body.Digest = web.URL+"/far.img", fmt.Sprintf("sha256:%x", sha256.Sum256(raw))
	first := must(client.Call(t.Context(), p.admin, api.ImageFetch, ask))(t)
	if first.Image != nil || first.Progress == nil || first.Progress.Done != int64(len(raw)/2) || first.Progress.Total != int64(len(raw)) {
		t.Fatalf("halfway: %+v", first.Progress)
	}
	close(gate)
	for first.Image == nil {
		first = must(client.Call(t.Context(), p.admin, api.ImageFetch, ask))(t)
	}
	if i := first.Image; i.Source != ask.Body.URL || i.Digest != ask.Body.Digest || i.Kind != sprout.DiskImage || i.Name != "far" {
		t.Errorf("fetched as %+v", i)
	}
	if again := must(client.Call(t.Context(), p.admin, api.ImageFetch, ask))(t); again.Image == nil || again.Image.ID != first.Image.ID {
		t.Errorf("asked again: %+v", again)
	}
	ask.Body.URL += "2"
	if _, err := client.Call(t.Context(), p.admin, api.ImageFetch, ask); sprout.KindOf(err) != sprout.Conflict {
		t.Errorf("another under its name: %v", err)
	}
}
