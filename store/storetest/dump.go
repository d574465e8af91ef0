package storetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"sprout/store"
)

// Dump returns the schema of the database at url as pg_dump tells it, without
// what differs between builds of PostgreSQL, and without River's tables.
func Dump(ctx context.Context, url string) (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump")
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("cannot find pg_dump: the Debian package postgresql-client-15 is not installed")
	}
	slices.Sort(found)
	cmd := exec.CommandContext(ctx, found[len(found)-1], "--schema-only", "--no-owner", "--no-privileges",
		"--exclude-schema="+store.RiverSchema, "--exclude-table=goose_*", url)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("cannot dump the schema: %w", err)
	}
	return normalise(string(out)), nil
}

// normalise drops comments, settings and psql's own commands, and empty lines
// that follow each other.
func normalise(dump string) string {
	var out []string
	for _, line := range strings.Split(dump, "\n") {
		line = strings.TrimRight(line, " ")
		switch {
		case strings.HasPrefix(line, "--"), strings.HasPrefix(line, "SET "), strings.HasPrefix(line, `\`),
			strings.HasPrefix(line, "SELECT pg_catalog.set_config"), strings.HasPrefix(line, "COMMENT ON EXTENSION"):
		case line == "" && (len(out) == 0 || out[len(out)-1] == ""):
		default:
			out = append(out, line)
		}
	}
	return strings.TrimSpace(strings.Join(out, "\n")) + "\n"
}
