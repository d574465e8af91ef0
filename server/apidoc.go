package server

import (
	"embed"
	"net/http"
	"time"

	"sprout/api"
)

// apiDocPolicy lets the page load from this server only, whatever its scripts try.
// Swagger UI styles its elements inline.
const apiDocPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed apidoc
var apiDoc embed.FS

// apiDocFiles is what /docs consists of.
var apiDocFiles = map[string]string{
	"/docs":                      "apidoc/page.html",
	"/docs/page.js":              "apidoc/page.js",
	"/docs/swagger-ui.css":       "apidoc/swagger-ui/swagger-ui.css",
	"/docs/swagger-ui-bundle.js": "apidoc/swagger-ui/swagger-ui-bundle.js",
}

// apiDocRoutes serves the page that shows the API's document to people.
func apiDocRoutes(mux *http.ServeMux) {
	for path, file := range apiDocFiles {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			f, err := apiDoc.Open(file)
			if err != nil {
				api.WriteFault(w, api.FaultOf(r.Context(), err))
				return
			}
			defer f.Close() //nolint:errcheck // only read
			h := w.Header()
			h.Set("Content-Security-Policy", apiDocPolicy)
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Referrer-Policy", "no-referrer")
			h.Set("Cache-Control", "no-cache")
			http.ServeContent(w, r, file, time.Time{}, f.(interface { // what is embedded can seek
				Read([]byte) (int, error)
				Seek(int64, int) (int64, error)
			}))
		})
	}
}
