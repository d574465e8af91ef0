package builtin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sprout"
	"sprout/hwtest"
)

const (
	nicRequests     = 30
	nicTimeout      = 2 * time.Second
	nicPayload      = 16 << 20 // bytes of the download
	nicPayloadLimit = 6 * time.Second
	// nicLossMost is the share of requests that may go unanswered.
	nicLossMost = 0.1
)

// testNIC tells link and speed of a port, and, where it has an address, the
// round trip to the agent and the rate of a download from it. Traffic leaves
// by this port, whatever the routes say. A port without a cable is skipped.
func testNIC(ctx context.Context, d hwtest.Device) ([]sprout.Metric, error) {
	i := slices.IndexFunc(d.Inventory.Interfaces, func(i sprout.Interface) bool { return i.Name == d.Name })
	if i < 0 {
		return nil, fmt.Errorf("the inventory has no port %s", d.Name)
	}
	port := d.Inventory.Interfaces[i]
	if !port.Link {
		return nil, &hwtest.SkipError{Reason: "no cable, or nothing at its other end"}
	}
	metrics := []sprout.Metric{{Name: "link", Value: 1, Unit: "bool"}}
	if port.SpeedMbs > 0 {
		metrics = append(metrics, sprout.Metric{Name: "speed", Value: float64(port.SpeedMbs), Unit: "Mb/s"})
	}
	if d.Agent.URL == "" || !hasAddress(d.Name) {
		return metrics, nil
	}
	c := &http.Client{Transport: &http.Transport{
		DisableCompression: true,
		DialContext:        (&net.Dialer{Timeout: nicTimeout, Control: bindTo(d.Name)}).DialContext,
	}}
	defer c.CloseIdleConnections()
	trips, err := roundTrips(ctx, c, d.Agent)
	metrics = append(metrics, trips...)
	if err != nil {
		return metrics, err
	}
	rate, err := download(ctx, c, d.Agent)
	if err != nil {
		return metrics, err
	}
	return append(metrics, rate), nil
}

// hasAddress tells whether the port has an IPv4 address to send from.
func hasAddress(name string) bool {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return false
	}
	addrs, err := i.Addrs()
	return err == nil && slices.ContainsFunc(addrs, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.To4() != nil
	})
}

// bindTo makes a socket send and receive by the named port only.
func bindTo(name string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var bound error
		err := c.Control(func(fd uintptr) { bound = unix.BindToDevice(int(fd), name) })
		return errors.Join(err, bound)
	}
}

// roundTrips measures small requests. Their loss is at HTTP: what the network
// drops and TCP repairs shows as a slow one.
func roundTrips(ctx context.Context, c *http.Client, agent hwtest.Peer) ([]sprout.Metric, error) {
	var took []time.Duration
	var last error
	for range nicRequests {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		began := time.Now()
		if _, err := fetch(ctx, c, agent, 1, nicTimeout); err != nil {
			last = err
			if len(took) == 0 && strings.Contains(err.Error(), "refused") {
				return nil, fmt.Errorf("cannot reach the agent: %w", err)
			}
			continue
		}
		took = append(took, time.Since(began))
	}
	loss := 1 - float64(len(took))/nicRequests
	metrics := []sprout.Metric{{Name: "loss", Value: round(100 * loss), Unit: "%"}}
	if len(took) > 0 {
		slices.Sort(took)
		metrics = append(metrics, sprout.Metric{Name: "round-trip", Value: round(took[len(took)/2].Seconds() * 1000), Unit: "ms"})
	}
	if loss > nicLossMost {
		return metrics, fmt.Errorf("%.0f %% of %d requests to the agent went unanswered: %w", 100*loss, nicRequests, last)
	}
	return metrics, nil
}

func download(ctx context.Context, c *http.Client, agent hwtest.Peer) (sprout.Metric, error) {
	began := time.Now()
	n, err := fetch(ctx, c, agent, nicPayload, nicPayloadLimit)
	if err != nil && (n == 0 || !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil) {
		return sprout.Metric{}, fmt.Errorf("cannot download from the agent: %w", err)
	}
	return sprout.Metric{Name: "throughput", Value: megabytes(n, time.Since(began).Seconds()), Unit: "MB/s"}, nil
}

// fetch reads n bytes of payload and returns how many came.
func fetch(ctx context.Context, c *http.Client, agent hwtest.Peer, n int64, timeout time.Duration) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/ramdisk/payload?bytes=%d", agent.URL, n), nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+agent.Token)
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("the agent answers %s", resp.Status)
	}
	got, err := io.Copy(io.Discard, resp.Body)
	if err == nil && got != n {
		err = fmt.Errorf("%d of %d bytes came", got, n)
	}
	return got, err
}
