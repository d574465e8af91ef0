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
	h.tell(lease.MAC, name, fmt.Sprintf("%s, in %.1f s", what, took.Seconds()), bytes)
}

// tell reports one thing that a boot did. What is http-script, http-vmlinuz,
// http-initrd or http- and the loader's name.
func (h *handler) tell(mac, what, detail string, bytes int64) {
	h.Events(sprout.BootEvent{MAC: mac, What: "http-" + what, Detail: detail, Bytes: bytes})
}
