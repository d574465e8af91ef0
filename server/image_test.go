package server_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"sprout"
	"sprout/api"
	"sprout/client"
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
