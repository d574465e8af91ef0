package store_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// contracted lists the migrations that take something away, and since which
// version no statement uses it: at least one release before. Everything else
// only adds, so that the servers of the version before work on while they are
// replaced one by one.
var contracted = map[string]string{
	"0006_guard_audit.sql":           "0.1: a retired agent's key may come again; no statement relied on the constraint",
	"0019_divide_networks.sql":       "0.1: no statement names these constraints, and in each one's place comes one that is the same where there are no VRFs",
	"0021_hold_addresses.sql":        "0.1: kinds are only added to the constraint, and older servers show them as they are",
	"0050_merge_address_indexes.sql": "0.1: no statement names these constraints, and ids are as unique as before",
	"0060_sign_dns_zones.sql":        "0.1: an algorithm is only added to the constraint, and older servers list its keys as they are",
	"0121_alias_images.sql":          "0.1: an image's own name goes with it, from a table that no older statement reads",
	"0096_allow_dhcp_off.sql":        "0.1: a mode is only added to the constraint, and older servers show it as it is",
	"0085_drive_by_ipmi.sql":         "0.1: a driver is only added to the constraint, and older servers hand it on as it is",
	"0120_rescue_machines.sql":       "0.1: a state is only added to the constraint, and older servers show it as it is",
	"0086_drive_by_webhook.sql":      "0.1: a driver is only added to the constraint, and older servers hand it on as it is",
}

// taking is what the version before could still be using.
var taking = []struct {
	what    string
	pattern *regexp.Regexp
}{
	{"drops a table, column, type or constraint", regexp.MustCompile(`(?i)\bDROP\s+(TABLE|COLUMN|TYPE|CONSTRAINT|VIEW|SCHEMA|SEQUENCE)\b`)},
	{"renames", regexp.MustCompile(`(?i)\bRENAME\b`)},
	{"changes a column's type", regexp.MustCompile(`(?i)\bALTER\s+(COLUMN\s+)?\w+\s+(SET\s+DATA\s+)?TYPE\b`)},
	{"forbids what was allowed", regexp.MustCompile(`(?i)\bSET\s+NOT\s+NULL\b`)},
	{"adds a column that an older INSERT does not fill", regexp.MustCompile(`(?i)\bADD\s+COLUMN\s+\w+\s+[^,;]*\bNOT\s+NULL\b[^,;]*[,;]`)},
	{"removes rows that an older version wrote", regexp.MustCompile(`(?im)(^|;)\s*(TRUNCATE|DELETE\s+FROM)\b`)},
}

var (
	comment    = regexp.MustCompile(`--[^\n]*`)
	hasDefault = regexp.MustCompile(`(?i)\b(DEFAULT|GENERATED)\b`)
)

// takes lists what a migration takes away.
func takes(sql string) (found []string) {
	sql = comment.ReplaceAllString(sql, "")
	for _, t := range taking {
		for _, hit := range t.pattern.FindAllString(sql, -1) {
			if !hasDefault.MatchString(hit) {
				found = append(found, t.what+": "+hit)
			}
		}
	}
	return found
}

func TestMigrationsExpandBeforeTheyContract(t *testing.T) {
	files, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(files) < 8 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		found := takes(string(raw))
		if _, listed := contracted[name]; listed != (len(found) > 0) {
			t.Errorf("%s is listed as taking something away: %v; it does: %q", name, listed, found)
		}
	}
	for sql, want := range map[string]int{
		"ALTER TABLE a DROP COLUMN b;":                            1,
		"ALTER TABLE a RENAME COLUMN b TO c;":                     1,
		"ALTER TABLE a ALTER COLUMN b TYPE bigint;":               1,
		"ALTER TABLE a ALTER b SET NOT NULL;":                     1,
		"ALTER TABLE a ADD COLUMN b text NOT NULL;":               1,
		"DELETE FROM a WHERE b;":                                  1,
		"ALTER TABLE a ADD COLUMN b text NOT NULL DEFAULT '';":    0,
		"ALTER TABLE a ADD COLUMN b text; -- DROP TABLE is later": 0,
		"CREATE INDEX i ON a (b); DROP INDEX j;":                  0,
		"CREATE TRIGGER t BEFORE DELETE OR TRUNCATE ON a":         0,
		"SELECT 1; TRUNCATE a":                                    1,
	} {
		if got := takes(sql); len(got) != want {
			t.Errorf("%s takes %q", sql, got)
		}
	}
}
