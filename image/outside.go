package image

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"sprout"
)

// mostRedirects is how often a server may send an import elsewhere.
const mostRedirects = 5

// CheckSource refuses a URL that images are not fetched from: of another scheme
// than http and https, or with a name and password in it, which would be kept and
// shown. Without a digest nothing proves what comes by plain http.
func CheckSource(from, digest string, unverified bool) error {
	u, err := url.Parse(from)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return sprout.InvalidField("url", "%q must begin with https:// or http:// and name a host", from)
	case u.User != nil:
		return sprout.InvalidField("url", "it has a user's name in it, which would be kept and shown")
	case digest == "" && u.Scheme == "http" && !unverified:
		return sprout.InvalidField("digest", "it comes by plain http, and nothing would tell whether it is what you mean").
			WithRemedy("--digest sha256:…, or --unverified to take whatever comes")
	}
	return nil
}

// Shown is a URL as it may be kept and shown: without its query, in which servers of
// images take what lets somebody in.
func Shown(from string) string {
	bare, _, _ := strings.Cut(from, "?")
	return bare
}

// errAddress is of what a server may not be made to call.
var errAddress = errors.New("images are not fetched from this address")

// Outside returns the client that images are fetched with. It calls no address
// that is only meant for this machine or its link (where clouds keep credentials),
// whatever a name resolves to, but for those allowed; follows few redirects, and
// none from https to http; uses no proxy, and checks certificates.
func Outside(allowed []netip.Prefix) *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if ip := at.Addr().Unmap(); !mayCall(ip, allowed) {
			return fmt.Errorf("%w: %w: %s", errRefused, errAddress, ip)
		}
		return nil
	}}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, DisableCompression: true, TLSHandshakeTimeout: 10 * time.Second,
			ResponseHeaderTimeout: stallAfter, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			last := via[len(via)-1].URL.Scheme
			switch to := req.URL.Scheme; {
			case len(via) > mostRedirects:
				return fmt.Errorf("%w: it is redirected more than %d times", errRefused, mostRedirects)
			case to != "https" && to != "http", last == "https" && to == "http", req.URL.User != nil:
				return fmt.Errorf("%w: it is redirected from %s to %s", errRefused, last, to)
			}
			return nil
		},
	}
}

func mayCall(ip netip.Addr, allowed []netip.Prefix) bool {
	if slices.ContainsFunc(allowed, func(p netip.Prefix) bool { return p.Contains(ip) }) {
		return true
	}
	return !ip.IsLoopback() && !ip.IsUnspecified() && !ip.IsMulticast() && !ip.IsLinkLocalUnicast() && ip != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
