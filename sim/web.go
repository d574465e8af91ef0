package sim

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// A web is a machine's HTTP: it dials from the machine's own address, over its
// cable.
type web struct {
	client *http.Client
	source netip.Addr
}

func newWeb(source netip.Addr, over *cable) *web {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: source.AsSlice()}, Timeout: 5 * time.Second}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return over.carry(conn)
	}
	return &web{source: source, client: &http.Client{Transport: &http.Transport{
		DialContext: dial, DisableCompression: true, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute,
	}}}
}

// Close drops the connections.
func (w *web) Close() { w.client.CloseIdleConnections() }

// do sends a request and refuses every status but those of success.
func (w *web) do(ctx context.Context, method, url string, body io.Reader, contentType string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, fmt.Errorf("cannot ask for %s: %w", url, err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s %s: %s: %s", method, req.URL.Path, resp.Status, text)
	}
	return resp, nil
}

// load fetches a file up to limit bytes (0: all) and drops it. A file that is
// shorter than the server said is an error.
func (w *web) load(ctx context.Context, method, url string, limit int) error {
	resp, err := w.do(ctx, method, url, nil, "")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var body io.Reader = resp.Body
	if limit > 0 {
		body = io.LimitReader(body, int64(limit))
	}
	n, err := io.Copy(io.Discard, body)
	if err != nil {
		return fmt.Errorf("cannot fetch %s: %w after %d bytes", url, err, n)
	}
	if n == 0 && method == http.MethodGet {
		return fmt.Errorf("cannot use %s: it is empty", url)
	}
	return nil
}

// text fetches a small text.
func (w *web) text(ctx context.Context, url string) (string, error) {
	resp, err := w.do(ctx, http.MethodGet, url, nil, "")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	return string(raw), err
}
