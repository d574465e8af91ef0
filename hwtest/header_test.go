package hwtest

import (
	"strings"
	"testing"
	"time"

	"sprout"
)

const whole = `#!/bin/sh
# Somebody's licence may stand before.
# --- sprout test
# title: Random reads of the disk
# kind: disk
# timeout: 5m + runtime
# parallel: yes
# needs: fio jq
#
# parameter: runtime duration default=30s least=1s most=24h How long to read, as x=y
# parameter: block size default=4KiB least=512B most=1MiB
# parameter: depth integer default=8 least=1 most=256
# parameter: pattern choice default=random among=random,sequential
# parameter: note text default="two words" most=20
# metric: iops 1/s least=100 better=more Reads a second
# metric: latency ms most=50.5 better=less
# ---
exec fio
`

func TestHeader(t *testing.T) {
	got, err := Parse("disk-speed", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	if got.Title != "Random reads of the disk" || got.Kind != "disk" || !got.Parallel || got.Destructive || got.Timeout != 300 || got.TimeoutPlus != "runtime" ||
		strings.Join(got.Needs, " ") != "fio jq" || got.Bytes != int64(len(whole)) || !strings.HasPrefix(got.Digest, "sha256:") {
		t.Errorf("header is %+v", got)
	}
	if p := got.Parameters; len(p) != 5 || p[0].Title != "How long to read, as x=y" || p[4].Default != "two words" || len(p[3].Among) != 2 {
		t.Errorf("parameters are %+v", p)
	}
	if m := got.Metrics; len(m) != 2 || *m[0].Least != 100 || m[0].Better != "more" || *m[1].Most != 50.5 || m[1].Least != nil {
		t.Errorf("metrics are %+v", m)
	}
	for _, other := range []string{
		strings.ReplaceAll(whole, "\n#", "\n//"), strings.ReplaceAll(whole, "\n#", "\n--"), strings.ReplaceAll(whole, "\n", "\r\n"),
		"\x7fELF\x00\x01binary\n" + strings.TrimPrefix(whole, "#!/bin/sh\n"),
	} {
		if same, err := Parse("disk-speed", []byte(other)); err != nil || len(same.Parameters) != 5 || same.Parameters[4].Default != "two words" {
			t.Errorf("%.40q: %v", other, err)
		}
	}
	if own, err := Parse("disk-read", []byte(strings.Replace(whole, "#!/bin/sh", "#!/init disk-read", 1))); err != nil || own.Program != "disk-read" {
		t.Errorf("the ramdisk's own program: %q %v", own.Program, err)
	}
}

// TestHeaderRefused spoils one line of a good header each, and wants to be told which.
func TestHeaderRefused(t *testing.T) {
	for _, c := range []struct{ old, spoilt, says string }{
		{"# --- sprout test", "# --- another test", `no line "--- sprout test"`},
		{"# ---\nexec", "exec", `line 17: it is no comment`},
		{"# ---\nexec fio\n", "", `has not ended`},
		{"# title: Random", "# titel: Random", `line 4: "titel: Random reads of the disk" is not one of title`},
		{"# title: Random reads of the disk\n", "", "no title"},
		{"# kind: disk", "# kind: floppy", `line 5: "floppy" is no kind`},
		{"# kind: disk\n", "", "no kind"},
		{"# kind: disk", "# kind: cpu\n# destructive: yes", "only a test of disks"},
		{"# kind: disk", "# kind: disk\n# kind: disk", "line 6: kind is said twice"},
		{"# kind: disk", "# kind:", "line 5: kind says nothing"},
		{"5m + runtime", "5", `line 6: "5" is no timeout`},
		{"5m + runtime", "9999h", "is no timeout from 1s to 168h"},
		{"5m + runtime", "5m + ", "adds no parameter"},
		{"5m + runtime", "5m + depth", `"depth", which is no parameter that is a duration`},
		{"5m + runtime", "5m + nothing", `"nothing", which is no parameter`},
		{"parallel: yes", "parallel: perhaps", `line 7: "perhaps" must be yes or no`},
		{"needs: fio jq", "needs: /bin/fio", "line 8:"},
		{"runtime duration", "Runtime duration", `line 10: "Runtime" is no name of a parameter`},
		{"runtime duration", "runtime float", `line 10: "float" is no kind of parameter`},
		{"default=30s", "usual=30s", `line 10: "usual" is not one of default=`},
		{"default=30s", "default=30s default=31s", "default= is said twice"},
		{"default=30s", "default=30", "line 10: parameter runtime has a default that is not a time"},
		{"default=30s", "default=100ms", "whole seconds"},
		{"default=30s", "default=48h", "line 10: parameter runtime has a default that is more than 24h"},
		{"default=30s ", "", "needs a default="},
		{"least=1s most=24h", "least=25h most=24h", "a least above its most"},
		{"default=4KiB", "default=-1", "line 11: parameter block has a default that is not a number of bytes"},
		{"default=4KiB", "default=9999999999999TiB", "not a number of bytes"},
		{"among=random,sequential", "", "line 13: parameter pattern must have among="},
		{"among=random,sequential", "among=random,,x", "empty choice"},
		{"default=random", "default=none", "is not one of random, sequential"},
		{`"two words" most=20`, `"two words" most=5`, "line 14: parameter note has a default that is more than 5"},
		{"block size", "runtime size", "line 11: there is a parameter runtime already"},
		{"iops 1/s", "iops per-second", `line 15: "per-second" is no unit`},
		{"iops 1/s", "iops", `line 15: "least=100" is no unit`},
		{"least=100", "least=many", `line 15: least="many" is no number`},
		{"least=100", "least=NaN", "is no number"},
		{"better=more", "better=faster", `better="faster" must be more or less`},
		{"most=50.5", "least=60 most=50.5", "line 16: metric latency has a least above its most"},
		{"latency ms", "iops ms", "there is a metric iops already"},
	} {
		text := strings.Replace(whole, c.old, c.spoilt, 1)
		if text == whole {
			t.Errorf("%q is not in the header", c.old)
		}
		_, err := Parse("disk-speed", []byte(text))
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "cannot use the test") || sprout.KindOf(err) != sprout.Invalid {
			t.Errorf("%q for %q: %v, want %q", c.spoilt, c.old, err, c.says)
		}
	}
	for _, name := range []string{"", "Disk", "disk_speed", "-disk", strings.Repeat("d", 64), "../x"} {
		if _, err := Parse(name, []byte(whole)); err == nil {
			t.Errorf("a test may be called %q", name)
		}
	}
	if _, err := Parse("big", make([]byte, MostBytes+1)); err == nil {
		t.Error("a test may be of any size")
	}
}

func TestChoose(t *testing.T) {
	test, err := Parse("disk-speed", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	run, err := Choose(test, map[string]string{"runtime": "1h30m", "block": "1MiB"}, "tests[0].parameters")
	want := map[string]string{"runtime": "5400", "block": "1048576", "depth": "8", "pattern": "random", "note": "two words"}
	for name, value := range want {
		if run.Parameters[name] != value {
			t.Errorf("%s is %q, want %q (%v)", name, run.Parameters[name], value, err)
		}
	}
	if got := Timeout(run); got != 95*time.Minute {
		t.Errorf("it may take %s", got)
	}
	for _, c := range []struct{ name, value, says string }{
		{"runtime", "soon", "is not a time"}, {"runtime", "0s", "is less than 1s"}, {"depth", "", "is not a whole number"}, {"depth", "1e3", "whole number"},
		{"pattern", "zigzag", "is not one of"}, {"note", "a\nb", "without control"}, {"note", strings.Repeat("x", 21), "more than 20"}, {"speed", "1", `no parameter "speed"`},
	} {
		_, err := Choose(test, map[string]string{c.name: c.value}, "tests[0].parameters")
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "tests[0].parameters."+c.name) {
			t.Errorf("%s=%s: %v", c.name, c.value, err)
		}
	}
}

// FuzzHeader holds what is accepted to what a ramdisk and a table can bear.
func FuzzHeader(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("# --- sprout test\n# title: x\n# kind: cpu\n# ---"))
	f.Add([]byte("// --- sprout test\n// parameter: a size default=1TB\n// ---\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		test, err := Parse("any", content)
		if err != nil {
			if sprout.KindOf(err) != sprout.Invalid {
				t.Errorf("it is refused as %s: %v", sprout.KindOf(err), err)
			}
			return
		}
		run, err := Choose(test, nil, "parameters")
		if err != nil || len(run.Parameters) != len(test.Parameters) {
			t.Errorf("it cannot run with its own defaults: %v", err)
		}
		if d := Timeout(run); d < time.Second || d > mostTimeout {
			t.Errorf("it may take %s", d)
		}
		if len(test.Title) > mostTitle || len(test.Parameters) > mostParameters || len(test.Metrics) > mostMetrics || len(test.Needs) > mostNeeds {
			t.Errorf("it is beyond the bounds: %+v", test)
		}
	})
}
