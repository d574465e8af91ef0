package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"
)

// A qmp is a connection to a QEMU's monitor (QMP, docs/interop/qmp-spec). One
// goroutine reads it until QEMU closes it.
type qmp struct {
	conn  net.Conn
	ended chan struct{} // closed when QEMU has closed its end

	mu      sync.Mutex
	next    int
	waiting map[int]chan qmpMessage
	reason  string // of the last SHUTDOWN event
}

type qmpMessage struct {
	ID    *int            `json:"id"`
	Error *qmpError       `json:"error"`
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data"`
}

type qmpError struct {
	Class string `json:"class"`
	Desc  string `json:"desc"`
}

// newQMP takes the connection over; end waits for its goroutine.
func newQMP(conn net.Conn) *qmp {
	q := &qmp{conn: conn, ended: make(chan struct{}), waiting: map[int]chan qmpMessage{}}
	go q.read()
	return q
}

func (q *qmp) read() {
	defer close(q.ended)
	for in := json.NewDecoder(q.conn); ; {
		var m qmpMessage
		if in.Decode(&m) != nil {
			return
		}
		q.take(m)
	}
}

func (q *qmp) take(m qmpMessage) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if m.Event == "SHUTDOWN" {
		var why struct {
			Reason string `json:"reason"`
		}
		if json.Unmarshal(m.Data, &why) == nil {
			q.reason = why.Reason
		}
	}
	if m.ID != nil && q.waiting[*m.ID] != nil {
		q.waiting[*m.ID] <- m // has room for one
		delete(q.waiting, *m.ID)
	}
}

// shutdownReason is why QEMU stopped by itself: guest-reset, guest-shutdown …
// (RunState's ShutdownCause), or "".
func (q *qmp) shutdownReason() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.reason
}

// execute runs one command and waits for its answer.
func (q *qmp) execute(ctx context.Context, command string, arguments any) error {
	answer := make(chan qmpMessage, 1)
	q.mu.Lock()
	q.next++
	id := q.next
	q.waiting[id] = answer
	q.mu.Unlock()
	request := map[string]any{"execute": command, "id": id}
	if arguments != nil {
		request["arguments"] = arguments
	}
	raw, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("cannot ask QEMU to %s: %w", command, err)
	}
	if _, err := q.conn.Write(append(raw, '\n')); err != nil {
		return fmt.Errorf("cannot ask QEMU to %s: %w", command, err)
	}
	select {
	case m := <-answer:
		if m.Error != nil {
			return fmt.Errorf("cannot make QEMU %s: %s", command, m.Error.Desc)
		}
		return nil
	case <-q.ended:
		return fmt.Errorf("cannot make QEMU %s: it has ended", command)
	case <-ctx.Done():
		return fmt.Errorf("cannot make QEMU %s: %w", command, ctx.Err())
	}
}

// end closes the connection and waits for the reader.
func (q *qmp) end() {
	_ = q.conn.Close() // the reader's error says the same
	<-q.ended
}
