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

	"sigs.k8s.io/yaml"

	"sprout"
)

// A connection is where a control plane is and what opens it.
type connection struct {
	Server string `json:"server"`
	Token  string `json:"token"`
}

// A contextFile remembers connections by name, so that commands need no flags.
// `sprout dev` writes one.
type contextFile struct {
	Current  string                `json:"current"`
	Contexts map[string]connection `json:"contexts"`
}

// connection finds the server: flags first, then SPROUT_SERVER and
// SPROUT_TOKEN, then the current context of the context file.
func (e *env) connection() (connection, error) {
	conn := connection{Server: cmp.Or(e.url, e.getenv("SPROUT_SERVER")), Token: cmp.Or(e.token, e.getenv("SPROUT_TOKEN"))}
	if conn.Server != "" && conn.Token != "" {
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
	saved, ok := file.Contexts[file.Current]
	if !ok && file.Current != "" {
		return conn, sprout.InvalidField("current", "%s names the context %q, which is not one of %v", path, file.Current, slices.Sorted(maps.Keys(file.Contexts)))
	}
	conn = connection{Server: cmp.Or(conn.Server, saved.Server), Token: cmp.Or(conn.Token, saved.Token)}
	if conn.Server == "" {
		return conn, sprout.InvalidField("--server", "no control plane is named by --server, SPROUT_SERVER or %s", path).WithRemedy("sprout dev, which starts one and writes that file")
	}
	return conn, nil
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
// The file is readable by its owner only.
func writeContext(path, name string, conn connection) error {
	file, err := readContexts(path)
	if err != nil {
		return err
	}
	if file.Contexts == nil {
		file.Contexts = map[string]connection{}
	}
	file.Current, file.Contexts[name] = name, conn
	raw, err := yaml.Marshal(file)
	if err != nil {
		return fmt.Errorf("cannot write the context file: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("cannot write the context file: %w", err)
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, raw, 0o600); err != nil {
		return fmt.Errorf("cannot write the context file: %w", err)
	}
	return os.Rename(temporary, path)
}
