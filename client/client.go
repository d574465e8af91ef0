// Package client calls a Sprout control plane: the typed operations of package
// api over HTTP. It holds no rules of its own; what is allowed is the server's
// to say, and comes back as a *sprout.Error.
package client

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"

	"sprout"
	"sprout/trust"
)

// A Config says where the control plane is and who asks.
type Config struct {
	URL       string // http:// or https://, without a path
	Token     string // bearer; empty for the operations that need none
	UserAgent string
	CA        []byte       // PEM of the authorities to trust, and no others; empty: the system's
	HTTP      *http.Client // nil: a client without a timeout; contexts end calls
}

// A Client calls one control plane. It is safe for concurrent use.
type Client struct {
	base  string
	token string
	agent string
	ca    []byte
	http  *http.Client
}

// New checks the config; it does not connect. An Invalid error names the field.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, sprout.InvalidField("server", "%q is no URL such as https://sprout.example", c.URL)
	}
	if c.HTTP == nil {
		c.HTTP = &http.Client{}
	}
	if len(c.CA) > 0 {
		secure, err := trust.Only(c.CA)
		if err != nil {
			return nil, err
		}
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = secure
		c.HTTP = &http.Client{Transport: transport}
	}
	return &Client{base: strings.TrimRight(c.URL, "/"), token: c.Token, agent: cmp.Or(c.UserAgent, "sprout/"+sprout.Version), ca: c.CA, http: c.HTTP}, nil
}
