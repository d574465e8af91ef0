package hwtesttest

import (
	"net/http"
	"strconv"

	"sprout"
)

// payloadMost bounds one answer, as the agent's does.
const payloadMost = 64 << 20

// Payload is the agent's side of the link test: GET /ramdisk/payload?bytes=N
// answers N bytes that do not compress away, at most 64 MiB, to whoever has the
// token.
func Payload(token string) http.Handler {
	block := make([]byte, 64<<10)
	x := uint32(1)
	for i := range block {
		x = x*1664525 + 1013904223
		block[i] = byte(x >> 24)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			http.Error(w, "a token is needed", http.StatusUnauthorized)
			return
		}
		n, err := strconv.ParseInt(r.URL.Query().Get("bytes"), 10, 64)
		if err != nil || n < 0 || n > payloadMost {
			http.Error(w, "bytes must be a number from 0 to "+strconv.Itoa(payloadMost), http.StatusUnprocessableEntity)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		w.Header().Set(sprout.TimeHeader, sprout.TimeNow())
		for n > 0 {
			m := min(n, int64(len(block)))
			if _, err := w.Write(block[:m]); err != nil {
				return // the client has gone
			}
			n -= m
		}
	})
}
