package server

import (
	"encoding/json"
	"net/http"
	"time"
)

// An eventWriter writes server-sent events (HTML standard, section 9.2) to one
// client.
type eventWriter struct {
	to    http.ResponseWriter
	flush *http.ResponseController
}

// sayAlive is a comment, so that both ends know of each other.
var sayAlive = &message{[]byte(": alive\n\n")}

// streamTo begins the answer.
func streamTo(answer http.ResponseWriter) eventWriter {
	h := answer.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies that gather answers must not
	return eventWriter{to: answer, flush: http.NewResponseController(answer)}
}

// send writes messages and pushes them out.
func (w eventWriter) send(list ...*message) error {
	if err := w.flush.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil {
		return err
	}
	for _, m := range list {
		if _, err := w.to.Write(m.text); err != nil {
			return err
		}
	}
	return w.flush.Flush()
}

// done leaves the connection as it was: it may be used again.
func (w eventWriter) done() { _ = w.flush.SetWriteDeadline(time.Time{}) } // it may be gone

// eventMessage makes the message of an event that has no id.
func eventMessage(what string, event any) (*message, error) {
	data, err := json.Marshal(event)
	if err != nil {
		return nil, err
	}
	return &message{[]byte("event: " + what + "\ndata: " + string(data) + "\n\n")}, nil
}
