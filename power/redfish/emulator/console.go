package emulator

import (
	"context"
	"io"
	"net/http"

	"github.com/coder/websocket"
)

// A ConsoleMachine has a serial port: the BMC offers it as a WebSocket at
// /console0, as that of OpenBMC is.
type ConsoleMachine interface {
	Machine
	// Console opens the serial port. It may be open several times.
	Console(ctx context.Context) (io.ReadWriteCloser, error)
}

// getConsole carries the serial port both ways until either side ends it.
func (b *BMC) getConsole(w http.ResponseWriter, r *http.Request) {
	m, has := b.machine.(ConsoleMachine)
	if !has || b.Faults().NoConsole {
		refuse(w, http.StatusNotFound, "ResourceMissingAtURI", "The resource at the URI "+r.URL.Path+" was not found.")
		return
	}
	port, err := m.Console(r.Context())
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, "ServiceTemporarilyUnavailable", err.Error())
		return
	}
	defer func() { _ = port.Close() }() // it is the machine's, which goes on
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // it has answered
	}
	ctx, end := context.WithCancel(r.Context())
	defer end()
	both := websocket.NetConn(ctx, conn, websocket.MessageBinary)
	b.log.Info("console opened")
	go func() {
		defer end()
		_, _ = io.Copy(port, both) // its error is that it ended
	}()
	go func() {
		<-ctx.Done()
		_ = port.Close() // so that the copy below ends
	}()
	_, _ = io.Copy(both, port)
	_ = conn.Close(websocket.StatusNormalClosure, "the console has ended")
}
