package boot

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"sprout"
)

// A counter counts what was written of a response's body.
type counter struct {
	http.ResponseWriter
	bytes int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.bytes += int64(n)
	return n, err
}

// ReadFrom lets the kernel copy the file, as it does without a counter.
func (c *counter) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(c.ResponseWriter, r)
	c.bytes += n
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// fetched tells of a file that was sent. Served is not booted: the next thing
// that the machine does is the proof.
func (h *handler) fetched(q *http.Request, name string, bytes, size int64, took time.Duration) {
	lease, ok := h.Ledger.LeaseByIP(remote(q))
	if !ok || lease.MAC == "" {
		return
	}
	what := "whole"
	if bytes < size {
		what = fmt.Sprintf("%d of %d bytes", bytes, size)
	}
	h.Events(sprout.BootEvent{
		At: h.Now(), MAC: lease.MAC, What: "http-" + name, Detail: fmt.Sprintf("%s, in %.1f s", what, took.Seconds()),
		From: remote(q), File: name, Bytes: bytes, Size: size, Seconds: took.Seconds(),
	})
}

// scriptEvents name the boot event of each answer.
var scriptEvents = map[Action]string{
	Ramdisk: sprout.SawScript, LocalDisk: sprout.SawScriptDisk, Refuse: sprout.SawRefused,
}

// scripted tells what a machine that asked was told.
func (h *handler) scripted(r Request, a Answer) {
	h.Events(sprout.BootEvent{At: h.Now(), MAC: r.MAC, What: scriptEvents[a.Action], Detail: a.Reason, From: r.From})
}
