package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"sprout"
)

// A connection is where a control plane is, what opens it, and by which
// authority it is trusted.
type connection struct {
	Server string `json:"server"`
	Token  string `json:"token"`
	CA     string `json:"ca,omitempty"` // PEM; empty: what the system trusts
}

// at tells whether the connection is to the server at url.
func (c connection) at(url string) bool {
	return strings.TrimRight(c.Server, "/") == strings.TrimRight(url, "/")
}

// A contextFile remembers connections by name, so that commands need no flags.
// `sprout login` and `sprout dev` write one.
type contextFile struct {
	Current  string                `json:"current"`
	Contexts map[string]connection `json:"contexts"`
}

// names lists the contexts.
func (f contextFile) names() []string { return slices.Sorted(maps.Keys(f.Contexts)) }

// find returns a context by name.
func (f contextFile) find(name string) (connection, error) {
	c, ok := f.Contexts[name]
	if ok {
		return c, nil
	}
	err := sprout.Errorf(sprout.NotFound, "cannot find a context %q; there are %v", name, f.names())
	if near := nearest(name, f.names()); near != "" {
		return c, err.WithRemedy("--context %s", near)
	}
	return c, err.WithRemedy("sprout login https://…")
}

// connection finds the server: flags first, then SPROUT_SERVER, SPROUT_TOKEN and
// SPROUT_CA, then a context: the one that --context or SPROUT_CONTEXT names, else
// the current one. What a context holds is for its own server only: a token is
// never sent to another.
func (e *env) connection() (connection, error) {
	conn := connection{Server: cmp.Or(e.url, e.getenv("SPROUT_SERVER")), Token: cmp.Or(e.token, e.getenv("SPROUT_TOKEN"))}
	if file := cmp.Or(e.ca, e.getenv("SPROUT_CA")); file != "" {
		raw, err := os.ReadFile(file)
		if err != nil {
			return conn, sprout.InvalidField("--ca", "cannot read it: %v", err)
		}
		conn.CA = string(raw)
	}
	if conn.Server != "" && conn.Token != "" && (conn.CA != "" || strings.HasPrefix(conn.Server, "http://")) {
		return conn, nil
	}
	path, err := e.contextPath()
	if err != nil {
		return conn, err
	}
	file, err := readContexts(path)
	if err != nil {
		return conn, err
	}
	saved, err := e.saved(file, conn.Server)
	if err != nil {
		return conn, err
	}
	conn = connection{Server: cmp.Or(conn.Server, saved.Server), Token: cmp.Or(conn.Token, saved.Token), CA: cmp.Or(conn.CA, saved.CA)}
	if conn.Server == "" {
		return conn, sprout.InvalidField("--server", "no control plane is named by --server, SPROUT_SERVER or %s", path).
			WithRemedy("sprout login https://…, or sprout dev, which starts one and writes that file")
	}
	return conn, nil
}

// saved finds the context that is meant: for a server that was named, one of
// that server; none is no error then.
func (e *env) saved(file contextFile, server string) (connection, error) {
	name := cmp.Or(e.context, e.getenv("SPROUT_CONTEXT"))
	if name != "" || server == "" && file.Current != "" {
		c, err := file.find(cmp.Or(name, file.Current))
		if err == nil && server != "" && !c.at(server) {
			err = sprout.InvalidField("--server", "%s is not where the context %s is: %s", server, name, c.Server)
		}
		return c, err
	}
	if server == "" {
		return connection{}, nil
	}
	for _, name := range append([]string{file.Current}, file.names()...) {
		if c := file.Contexts[name]; c.at(server) {
			return c, nil
		}
	}
	return connection{}, nil
}

// contextPath is SPROUT_CONFIG, or sprout/config.yaml in the user's
// configuration directory.
func (e *env) contextPath() (string, error) {
	if path := e.getenv("SPROUT_CONFIG"); path != "" {
		return path, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", sprout.InvalidField("--server", "cannot find the context file: %v", err).WithRemedy("set SPROUT_SERVER and SPROUT_TOKEN")
	}
	return filepath.Join(dir, "sprout", "config.yaml"), nil
}

// readContexts reads a context file; a missing one is empty.
func readContexts(path string) (contextFile, error) {
	var file contextFile
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return file, nil
	}
	if err != nil {
		return file, fmt.Errorf("cannot read the context file: %w", err)
	}
	return file, decodeStrict(raw, path, &file)
}

// writeContext keeps conn under name in the context file and makes it current.
func writeContext(path, name string, conn connection) error {
	return changeContexts(path, func(file *contextFile) error {
		if file.Contexts == nil {
			file.Contexts = map[string]connection{}
		}
		file.Current, file.Contexts[name] = name, conn
		return nil
	})
}

// changeContexts changes the context file, whole or not at all. It holds tokens,
// so that only its owner can read it.
func changeContexts(path string, change func(*contextFile) error) error {
	file, err := readContexts(path)
	if err != nil {
		return err
	}
	if err := change(&file); err != nil {
		return err
	}
	raw, err := yaml.Marshal(file)
	if err != nil {
		return fmt.Errorf("cannot write the context file: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("cannot write the context file: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("cannot write the context file: %w", err)
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot write the context file: %w", err), os.Remove(f.Name()))
	}
	return nil
}
