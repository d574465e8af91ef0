package hwtest

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"sprout"
)

// mostText bounds a value of any kind, in bytes.
const mostText = 1024

// A parameterKind says how a value is read: to what the executable gets, and to
// a number that bounds are compared with.
type parameterKind struct {
	read func(text string) (given string, size float64, ok bool)
	as   string // what it must be, in words
}

// parameterKinds is the table of the kinds of parameters.
var parameterKinds = map[sprout.ParameterKind]parameterKind{
	sprout.IntegerParameter:  {readInteger, "a whole number"},
	sprout.DurationParameter: {readDuration, "a time of whole seconds, as 30s or 1h30m"},
	sprout.SizeParameter:     {readSize, "a number of bytes, as 512MiB or 4GB"},
	sprout.TextParameter:     {readText, "a text without control characters"},
	sprout.ChoiceParameter:   {readText, "one of the choices"},
}

func readInteger(text string) (string, float64, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return strconv.FormatInt(n, 10), float64(n), err == nil
}

// readDuration gives whole seconds.
func readDuration(text string) (string, float64, bool) {
	d, err := time.ParseDuration(text)
	ok := err == nil && d >= 0 && d%time.Second == 0
	return strconv.FormatInt(int64(d/time.Second), 10), d.Seconds(), ok
}

// sizeUnits are those of sizes, with the longer names before what they end in.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

// readSize gives bytes.
func readSize(text string) (string, float64, bool) {
	for _, u := range sizeUnits {
		number, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/u.bytes {
			return "", 0, false
		}
		return strconv.FormatInt(n*u.bytes, 10), float64(n * u.bytes), true
	}
	return "", 0, false
}

func readText(text string) (string, float64, bool) { return text, float64(len(text)), printable(text) }

// wrongParameter says what is wrong with a declaration, "" if nothing is.
func wrongParameter(q sprout.TestParameter, said map[string]string) string {
	kind := parameterKinds[q.Kind]
	var bounds []float64
	for _, b := range []struct{ key, text string }{{"least", q.Least}, {"most", q.Most}} {
		if _, ok := said[b.key]; !ok {
			continue
		}
		read := kind.read
		if q.Kind == sprout.TextParameter || q.Kind == sprout.ChoiceParameter {
			read = readInteger // of its length
		}
		_, size, ok := read(b.text)
		if !ok {
			return fmt.Sprintf("has a %s of %.60q, which is not %s", b.key, b.text, kind.as)
		}
		bounds = append(bounds, size)
	}
	switch {
	case len(bounds) == 2 && bounds[0] > bounds[1]:
		return "has a least above its most"
	case (q.Kind == sprout.ChoiceParameter) != (len(q.Among) > 0):
		return "must have among= if it is a choice, and only then"
	case slices.ContainsFunc(q.Among, func(s string) bool { return s == "" || !printable(s) }):
		return "has an empty choice"
	}
	_, hasDefault := said["default"]
	if !hasDefault && q.Kind != sprout.TextParameter {
		return "needs a default="
	}
	if _, why := valueOf(q, q.Default); why != "" && hasDefault {
		return "has a default that " + why
	}
	return ""
}

// valueOf is a value as the executable gets it, or why it cannot be.
func valueOf(q sprout.TestParameter, text string) (given, why string) {
	kind := parameterKinds[q.Kind]
	given, size, ok := kind.read(text)
	switch {
	case len(text) > mostText:
		return "", fmt.Sprintf("has more than %d bytes", mostText)
	case !ok:
		return "", "is not " + kind.as
	case q.Kind == sprout.ChoiceParameter && !slices.Contains(q.Among, text):
		return "", "is not one of " + strings.Join(q.Among, ", ")
	}
	if least, said := boundOf(q, q.Least); said && size < least {
		return "", "is less than " + q.Least
	}
	if most, said := boundOf(q, q.Most); said && size > most {
		return "", "is more than " + q.Most
	}
	return given, ""
}

func boundOf(q sprout.TestParameter, text string) (float64, bool) {
	if text == "" {
		return 0, false
	}
	read := parameterKinds[q.Kind].read
	if q.Kind == sprout.TextParameter || q.Kind == sprout.ChoiceParameter {
		read = readInteger
	}
	_, size, ok := read(text)
	return size, ok
}

// Choose makes a run of a test: the values that were given, checked, and the
// defaults of the others. path is the field of the request.
func Choose(t sprout.Test, given map[string]string, path string) (sprout.TestRun, error) {
	run := sprout.TestRun{Test: t, Parameters: map[string]string{}}
	for _, q := range t.Parameters {
		text, ok := given[q.Name]
		if !ok {
			text = q.Default
		}
		value, why := valueOf(q, text)
		if why != "" && (ok || text != "") {
			return run, sprout.InvalidField(path+"."+q.Name, "cannot run %s: %.60q %s", t.Name, text, why).WithRemedy("sprout test show %s", t.Name)
		}
		run.Parameters[q.Name] = value
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, known := run.Parameters[name]; !known {
			return run, sprout.InvalidField(path+"."+name, "cannot run %s: it has no parameter %.60q", t.Name, name).WithRemedy("sprout test show %s", t.Name)
		}
	}
	return run, nil
}

// Timeout is how long a run may take on one device.
func Timeout(r sprout.TestRun) time.Duration {
	d := time.Duration(r.Test.Timeout) * time.Second
	if more, err := strconv.ParseInt(r.Parameters[r.Test.TimeoutPlus], 10, 64); err == nil {
		d += min(time.Duration(more)*time.Second, mostTimeout)
	}
	return min(max(d, time.Second), mostTimeout)
}

// brief writes a time without its zeroes: 168h.
func brief(d time.Duration) string {
	return strings.TrimSuffix(strings.TrimSuffix(d.String(), "0s"), "0m")
}
