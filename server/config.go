package server

import (
	"cmp"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/health"
	"sprout/image"
	"sprout/provider"
	"sprout/store"
	"sprout/workflow"
)

// A Config is all that a control plane needs to know. Its JSON names are the
// keys of the configuration file.
type Config struct {
	Listen    string             `json:"listen" doc:"host:port of the API; port 0 takes a free one"`
	TLS       TLSConfig          `json:"tls"`
	Dir       string             `json:"dir" doc:"Directory of images, streams and the key of secrets"`
	Key       string             `json:"key" doc:"Key of secrets in base64, or several with commas, in place of a file: for the environment"`
	KeyFile   string             `json:"keyFile" doc:"File of the key of secrets, made if missing; the same for all replicas; empty: DIR/key"`
	Database  DatabaseConfig     `json:"database"`
	Bus       BusConfig          `json:"bus"`
	Admin     string             `json:"adminTokenFile" doc:"Where the first start writes the token of the first administrator; empty: DIR/admin-token"`
	Limits    LimitsConfig       `json:"limits"`
	Memory    health.Memory      `json:"memory"`
	OIDC      OIDCConfig         `json:"oidc"`
	Providers provider.Selection `json:"providers"`
	Images    ImagesConfig       `json:"images"`

	// Gate is passed by every call of a step: for tests; nil: there is none.
	Gate workflow.Gate `json:"-"`

	// Tracer sees every statement that goes to the database; nil: nobody does.
	Tracer pgx.QueryTracer `json:"-"`

	// Edge wraps all that is served, so that a test sees every answer; nil: nothing does.
	Edge func(http.Handler) http.Handler `json:"-"`

	Log *slog.Logger `json:"-"`
}

// A TLSConfig says what certificate the API shows: one of the installation's own
// authority, or that of two files.
type TLSConfig struct {
	Names       []string `json:"names" doc:"Further host names and addresses that the server's own certificate is good for"`
	Certificate string   `json:"certificate" doc:"File of another certificate, in place of the server's own; read again when it changes"`
	Key         string   `json:"key" doc:"File of that certificate's key"`
	Disable     bool     `json:"disable" doc:"Speak plain HTTP: behind a proxy that speaks TLS"`
}

// A DatabaseConfig says where PostgreSQL is.
type DatabaseConfig struct {
	URL         string `json:"url" doc:"postgres://…, or key=value pairs"`
	Connections int    `json:"connections" doc:"At most so many; 0: 16"`
}

// A BusConfig says where the bus is: embedded, or a cluster.
type BusConfig struct {
	Listen   string `json:"listen" doc:"host:port of the embedded NATS; port 0 takes a free one"`
	URL      string `json:"url" doc:"Of a NATS cluster, in place of the embedded one"`
	Announce string `json:"announce" doc:"URL that agents are told; empty: the bus's own"`
	Replicas int    `json:"replicas" doc:"Copies of each stream in a cluster; 0: 1"`
	CA       string `json:"ca" doc:"File of the authority of a cluster's certificates; empty: what the system trusts"`
	Plain    bool   `json:"plain" doc:"Run the embedded NATS without TLS"`
}

// An ImagesConfig bounds what the control plane takes for an image, and fetches from others.
type ImagesConfig struct {
	Most    int      `json:"most" doc:"GB that a fetched image may have; 0: 64"`
	MostRaw int      `json:"mostRaw" doc:"GB that an image may have once decompressed; 0: 256"`
	Allow   []string `json:"allow" doc:"Prefixes of this machine or its links that images may be fetched from all the same"`
}

// gigabytes that a fetched image has at most where nothing else is said.
const mostFetched = 64

const gigabyte = 1_000_000_000

// mostRaw is how many bytes an image may have once decompressed; 0: what package image says.
func (c ImagesConfig) mostRaw() int64 { return int64(c.MostRaw) * gigabyte }

func (c ImagesConfig) check() error {
	if c.Most < 0 {
		return sprout.InvalidField("images.most", "%d must be a number of GB, or 0 for %d", c.Most, mostFetched)
	}
	if c.MostRaw < 0 {
		return sprout.InvalidField("images.mostRaw", "%d must be a number of GB, or 0 for %d", c.MostRaw, image.MostRaw/gigabyte)
	}
	_, err := c.allowed()
	return err
}

func (c ImagesConfig) allowed() (all []netip.Prefix, err error) {
	for _, text := range c.Allow {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, sprout.InvalidField("images.allow", "%q is no prefix such as 127.0.0.1/32", text)
		}
		all = append(all, p)
	}
	return all, nil
}

// Defaults returns the configuration of a control plane on one machine; the
// database is still to be named.
func Defaults() Config {
	return Config{Listen: "0.0.0.0:8443", Dir: "/var/lib/sprout/server", Bus: BusConfig{Listen: "0.0.0.0:4222"}}
}

// Check refuses a configuration that cannot work, before anything starts. The
// error's field is the key in the file.
func (c Config) Check() error {
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return sprout.InvalidField("listen", "%q must be host:port", c.Listen)
	}
	if c.Dir == "" {
		return sprout.InvalidField("dir", "a directory is needed")
	}
	if c.Database.URL == "" {
		return sprout.InvalidField("database.url", "the URL of a PostgreSQL database is needed").WithRemedy("--database postgres://…, or SPROUT_SERVER_DATABASE_URL")
	}
	if c.Database.Connections < 0 || (c.Database.Connections > 0 && c.Database.Connections < 6) {
		return sprout.InvalidField("database.connections", "%d must be 0 or at least 6", c.Database.Connections)
	}
	if (c.TLS.Certificate == "") != (c.TLS.Key == "") {
		return sprout.InvalidField("tls", "certificate and key are needed together")
	}
	if c.TLS.Disable && c.TLS.Certificate != "" {
		return sprout.InvalidField("tls.disable", "a certificate is named, and would not be used")
	}
	if c.Bus.CA != "" && c.Bus.URL == "" {
		return sprout.InvalidField("bus.ca", "it is for a cluster, and bus.url names none")
	}
	if c.Bus.URL == "" {
		if _, _, err := net.SplitHostPort(c.Bus.Listen); err != nil {
			return sprout.InvalidField("bus.listen", "%q must be host:port", c.Bus.Listen)
		}
	}
	if err := cmp.Or(c.Limits.check(), c.Memory.Check(), c.OIDC.check(), c.Images.check()); err != nil {
		return err
	}
	return c.Providers.Check()
}

// KeyPath is the file of the key of secrets.
func (c Config) KeyPath() string {
	return cmp.Or(c.KeyFile, filepath.Join(c.Dir, "key"))
}

// OpenKey reads the key of secrets; a missing file is made.
func (c Config) OpenKey() (store.Key, error) {
	if c.Key != "" {
		return store.ParseKey(c.Key)
	}
	return store.OpenKey(c.KeyPath())
}

func (c Config) adminFile() string {
	if c.Admin != "" {
		return c.Admin
	}
	return filepath.Join(c.Dir, "admin-token")
}
