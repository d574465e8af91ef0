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

// pageRoutes serves the pages of the problem codes and of the types of error.
func pageRoutes(mux *http.ServeMux) {
	problem := func(code string) (string, error) { return docs.Problem(sprout.Code(code)) }
	for path, serve := range map[string]http.HandlerFunc{
		"/docs/problems/": servePages(docs.Problems, problem),
		"/docs/errors/":   servePages(docs.Errors, docs.Error),
	} {
		mux.HandleFunc("GET "+path+"{name}", serve)
		mux.HandleFunc("GET "+path+"{$}", serve)
	}
}

// servePages serves the page of a name, or the list of all: as text to programs,
// and to browsers in a page that asks for nothing else.
func servePages(list func() (string, error), page func(name string) (string, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		text, err := list()
		if name := strings.TrimSuffix(r.PathValue("name"), ".md"); name != "" {
			text, err = page(name)
		}
		if err != nil {
			api.WriteFault(w, api.FaultOf(r.Context(), err))
			return
		}
		if !strings.Contains(r.Header.Get("Accept"), "text/html") {
			w.Header().Set("Content-Type", "text/markdown; charset=utf-8")
			_, _ = io.WriteString(w, text)
			return
		}
		title, _, _ := strings.Cut(strings.TrimPrefix(text, "# "), "\n")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		_, _ = io.WriteString(w, "<!doctype html><html lang=en><meta charset=utf-8><title>"+html.EscapeString(title)+
			"</title><pre style=\"white-space:pre-wrap;max-width:50em\">"+html.EscapeString(text)+"</pre></html>\n")
	}
}
