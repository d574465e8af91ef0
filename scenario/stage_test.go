package scenario_test

import (
	"context"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"
)

// tellStage is how most stories begin: a site with its agent and a network, an
// image, and machines that are ready; all by the CLI.
func tellStage(s *story, ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) >= 1, "stage SITE [MACHINE…]")
	site, machines := args[0], args[1:]
	do := func(args ...string) {
		if code, _ := s.run(ts, args); code != 0 {
			ts.Fatalf("sprout %s: exit code %d", strings.Join(args, " "), code)
		}
	}
	do("site", "create", site, "--domain", site+".example")
	tellSiteAgent(s, ts, false, []string{site})
	do("network", "create", "provisioning", "--site", site, "--cidr", "127.20.0.0/24", "--gateway", "127.20.0.254",
		"--reserved", "127.20.0.1-127.20.0.9", "--dynamic", "127.20.0.100-127.20.0.199", "--discover")
	if len(s.sites) == 1 {
		tellRandom(s, ts, false, []string{"debian-12.raw", "2097152"})
		do("image", "import", "debian-12", ts.MkAbs("debian-12.raw"))
	}
	for _, name := range machines {
		tellPlug(s, ts, false, []string{name, site})
		do("machine", "create", name, "--site", site, "--mac", macOf(name), "--bmc-driver", "redfish",
			"--bmc-url", s.slot(ts, name).URL, "--bmc-user", bmcUser, "--bmc-password", bmcPassword)
	}
	if len(machines) > 0 {
		do(append([]string{"machine", "commission", "--skip-tests", "staged", "--wait"}, machines...)...)
	}
}

// tellExpireTokens makes every enrolment token as old as if its time had passed.
func tellExpireTokens(s *story, ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 0, "expire-tokens")
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.database)
	ts.Check(err)
	defer conn.Close(ctx) //nolint:errcheck // nothing was left to say
	done, err := conn.Exec(ctx, `UPDATE enrol_token SET expires_at = now() - interval '1 minute'`)
	ts.Check(err)
	if done.RowsAffected() == 0 {
		ts.Fatalf("there is no enrolment token")
	}
}

// tellCount checks how many lines of a file (or stdout, as the last command
// wrote it) hold the words.
func tellCount(_ *story, ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 3, "count N WORDS FILE")
	n := 0
	for line := range strings.Lines(ts.ReadFile(args[2])) {
		if strings.Contains(line, args[1]) {
			n++
		}
	}
	if want := args[0]; want != strconv.Itoa(n) {
		ts.Fatalf("%d lines hold %q, want %s", n, args[1], want)
	}
}
