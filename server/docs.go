package server

import (
	"html"
	"io"
	"net/http"
	"strings"

	"sprout"
	"sprout/api"
	"sprout/docs"
)

// serveProblemDocs serves the page of a problem code, or the list of all: as
// text to programs, and to browsers in a page that asks for nothing else.
func serveProblemDocs(w http.ResponseWriter, r *http.Request) {
	code := strings.TrimSuffix(r.PathValue("code"), ".md")
	page, err := docs.Problems()
	if code != "" {
		page, err = docs.Problem(sprout.Code(code))
	}
	if err != nil {
		api.WriteFault(w, api.FaultOf(r.Context(), err))
		return
	}
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Content-Type", "text/markdown; charset=utf-8")
		_, _ = io.WriteString(w, page)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_, _ = io.WriteString(w, "<!doctype html><html lang=en><meta charset=utf-8><title>"+html.EscapeString(code)+
		"</title><pre style=\"white-space:pre-wrap;max-width:50em\">"+html.EscapeString(page)+"</pre></html>\n")
}
