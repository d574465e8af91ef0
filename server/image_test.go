package server_test

import (
	"bytes"
	"io"
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
	if _, err := client.Call(t.Context(), p.admin, api.ImageDelete, api.ImageRef{Image: i.Name}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.admin.ImageContent(t.Context(), i.Name); sprout.KindOf(err) != sprout.NotFound {
		t.Errorf("a deleted image: %v", err)
	}
}
