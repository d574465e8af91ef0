package redfish

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/coder/websocket"

	"sprout"
)

// Console opens the machine's serial console: the BMC's WebSocket where it has one,
// and else IPMI's serial over LAN at the same BMC where it says, or is known, to
// have that. Redfish itself carries no console.
func (p *Driver) Console(ctx context.Context) (io.ReadWriteCloser, error) {
	s, err := p.readSystem(ctx)
	if err != nil {
		return nil, err
	}
	switch q := p.found.quirk; {
	case q.console != "":
		return p.webSocket(ctx, q.console)
	case p.config.SOL != nil && (s.Console.IPMI.Enabled || p.found.byIPMI || q.consoleByIPMI):
		return p.config.SOL(ctx)
	}
	f := p.fail(sprout.BMCFailed, "cannot open the console: the BMC offers no serial over LAN that Sprout speaks", s.Console.words(p.base.Host))
	f.Remedy = "allow IPMI over LAN and serial over LAN in the BMC's settings, or drive the machine by IPMI (sprout machine update --bmc-driver ipmi)"
	if s.Console.SSH.Enabled {
		f.Remedy = fmt.Sprintf("use the BMC's own: ssh -p %d %s@%s; or allow IPMI over LAN there", s.Console.SSH.Port, p.config.Username, p.base.Hostname())
	}
	return nil, f
}

func (c console) words(host string) string {
	return fmt.Sprintf("%s: SerialConsole offers IPMI: %t, SSH: %t", host, c.IPMI.Enabled, c.SSH.Enabled)
}

// consoleBytes is how much of a console one message may bring.
const consoleBytes = 64 << 10

// webSocket opens a console at a path of the BMC's web server (RFC 6455). It is a
// connection of its own: requests go on meanwhile.
func (p *Driver) webSocket(ctx context.Context, path string) (io.ReadWriteCloser, error) {
	if err := p.login(ctx); err != nil {
		return nil, err
	}
	header := http.Header{}
	p.authenticate(header)
	at := url.URL{Scheme: strings.Replace(p.base.Scheme, "http", "ws", 1), Host: p.base.Host, Path: path}
	dialing, cancel := context.WithTimeout(ctx, p.config.RequestTimeout)
	defer cancel()
	conn, res, err := websocket.Dial(dialing, at.String(), &websocket.DialOptions{HTTPClient: p.http, HTTPHeader: header})
	if err != nil {
		what := "GET " + at.String()
		if res == nil {
			return nil, p.unreachable(what, err)
		}
		f := p.fail(sprout.BMCFailed, "cannot open the console: the BMC answered "+res.Status, what+": "+err.Error())
		f.Remedy = "look in the BMC's settings whether the host console is enabled, and whether another has it"
		return nil, f
	}
	conn.SetReadLimit(consoleBytes)
	return websocket.NetConn(context.Background(), conn, websocket.MessageBinary), nil // it ends by Close
}
