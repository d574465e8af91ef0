package dhcptest

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A Request is one of HTTP as it was heard, its body read.
type Request struct {
	*http.Request
	Content []byte
}

// Requests are the requests of the calling package's testdata/captures, by who asked
// for what: one a file, as it was on the wire but for its secrets. Where TOKEN is
// written they say token.
func Requests(t testing.TB, token string) map[string]Request {
	t.Helper()
	files, err := filepath.Glob("testdata/captures/*.http")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	all := map[string]Request{}
	for _, file := range files {
		wire, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		wire = bytes.ReplaceAll(wire, []byte("TOKEN"), []byte(token))
		q, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		body, err := io.ReadAll(q.Body)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".http")] = Request{q, body}
	}
	return all
}
