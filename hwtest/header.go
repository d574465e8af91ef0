package hwtest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sprout"
)

// The bounds of a test's executable and of what its header declares.
const (
	MostBytes      = 16 << 20
	mostParameters = 32
	mostMetrics    = 32
	mostNeeds      = 16
	mostLines      = 200
	mostTitle      = 200
	usualTimeout   = 10 * time.Minute
	mostTimeout    = 7 * 24 * time.Hour
)

// The lines between which the header stands, after what begins a comment.
const (
	headerBegins = "--- sprout test"
	headerEnds   = "---"
)

var (
	stableName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	// marked is the line with which a header begins, and what begins a comment there.
	marked   = regexp.MustCompile(`(?m)^[ \t]*(#|//|--|;)[ \t]*` + headerBegins + `[ \t]*\r?$`)
	unitText = regexp.MustCompile(`^[A-Za-z0-9%°/µ]{1,16}$`)
)

// Kinds are what there is to test; a test runs once for each device of its kind.
var Kinds = []string{"cpu", "memory", "disk", "nic", "gpu", "node"}

// CheckName refuses what is no name of a test.
func CheckName(name string) error {
	if !stableName.MatchString(name) || len(name) > 63 {
		return sprout.InvalidField("name", "cannot use %q: the name of a test is lower case words and digits with hyphens between, at most 63 bytes, as disk-speed", name)
	}
	return nil
}

// Parse reads the header of a test's executable (docs/how-to/hardware-tests.md): lines of
// comment between "--- sprout test" and "---". An error names the line.
func Parse(name string, content []byte) (sprout.Test, error) {
	t := sprout.Test{
		Name: name, Bytes: int64(len(content)), Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(content)),
		Parameters: []sprout.TestParameter{}, Metrics: []sprout.TestMetric{}, Needs: []string{}, Timeout: int64(usualTimeout / time.Second),
	}
	if err := CheckName(name); err != nil {
		return t, err
	}
	if len(content) > MostBytes {
		return t, refuse(0, "it has %d bytes, and a test may have %d", len(content), MostBytes)
	}
	p := &parser{test: &t, seen: map[string]bool{}}
	if err := p.header(content); err != nil {
		return t, err
	}
	t.Program = ownProgram(content)
	return t, p.whole()
}

// refuse says what is wrong with the executable, and at which line of it; 0: with all of it.
func refuse(line int, format string, args ...any) error {
	said := fmt.Sprintf(format, args...)
	if line > 0 {
		said = fmt.Sprintf("line %d: %s", line, said)
	}
	return sprout.InvalidField("content", "cannot use the test: %s", said).WithRemedy("see docs/how-to/hardware-tests.md for how a test declares what it is")
}

// ownProgram is the name of the ramdisk's own program that the file stands for:
// its first line is "#!/init NAME".
func ownProgram(content []byte) string {
	first, _, _ := bytes.Cut(content, []byte("\n"))
	name, ok := strings.CutPrefix(string(first), "#!/init ")
	if !ok {
		return ""
	}
	return strings.TrimSpace(name)
}

type parser struct {
	test *sprout.Test
	seen map[string]bool
	line int
}

// header reads line for line from the mark on, until the header ends.
func (p *parser) header(content []byte) error {
	at := marked.FindSubmatchIndex(content)
	if at == nil {
		return refuse(0, "it has no line %q in a comment, with which its header begins", headerBegins)
	}
	comment := string(content[at[2]:at[3]])
	p.line = bytes.Count(content[:at[0]], []byte("\n")) + 1
	rest := content[at[1]:]
	for range mostLines {
		_, after, more := bytes.Cut(rest, []byte("\n"))
		if !more {
			break
		}
		rest = after
		p.line++
		raw, _, _ := bytes.Cut(rest, []byte("\n"))
		text, ok := strings.CutPrefix(strings.TrimSpace(string(raw)), comment)
		if !ok {
			return refuse(p.line, "it is no comment, and the header has not ended: end it with %q", comment+" "+headerEnds)
		}
		switch text = strings.TrimSpace(text); text {
		case headerEnds:
			return nil
		case "":
		default:
			if err := p.field(text); err != nil {
				return err
			}
		}
	}
	return refuse(p.line, "the header has not ended: end it with %q", comment+" "+headerEnds)
}

// fields are what a header may say, each by who reads it.
var fields = map[string]func(*parser, string) error{
	"title":       (*parser).title,
	"kind":        (*parser).kind,
	"timeout":     (*parser).timeout,
	"parallel":    yes(func(t *sprout.Test) *bool { return &t.Parallel }),
	"destructive": yes(func(t *sprout.Test) *bool { return &t.Destructive }),
	"needs":       (*parser).needs,
	"parameter":   (*parser).parameter,
	"metric":      (*parser).metric,
}

func (p *parser) field(text string) error {
	key, value, ok := strings.Cut(text, ":")
	read := fields[key]
	if !ok || read == nil {
		return refuse(p.line, "%.60q is not one of title, kind, timeout, parallel, destructive, needs, parameter or metric, with a colon", text)
	}
	if p.seen[key] && key != "parameter" && key != "metric" {
		return refuse(p.line, "%s is said twice", key)
	}
	p.seen[key] = true
	if value = strings.TrimSpace(value); value == "" {
		return refuse(p.line, "%s says nothing", key)
	}
	return read(p, value)
}

func (p *parser) title(value string) error {
	if len(value) > mostTitle || !printable(value) {
		return refuse(p.line, "a title is text of at most %d bytes", mostTitle)
	}
	p.test.Title = value
	return nil
}

func (p *parser) kind(value string) error {
	if !slices.Contains(Kinds, value) {
		return refuse(p.line, "%.60q is no kind: it must be one of %s", value, strings.Join(Kinds, ", "))
	}
	p.test.Kind = value
	return nil
}

// timeout reads a time, or one and the parameter whose time comes on top: 5m + runtime.
func (p *parser) timeout(value string) error {
	text, plus, more := strings.Cut(value, "+")
	d, err := time.ParseDuration(strings.TrimSpace(text))
	if err != nil || d < time.Second || d > mostTimeout {
		return refuse(p.line, "%.60q is no timeout from 1s to %s, as 10m or 5m + runtime", value, brief(mostTimeout))
	}
	p.test.Timeout, p.test.TimeoutPlus = int64(d/time.Second), strings.TrimSpace(plus)
	if more && p.test.TimeoutPlus == "" {
		return refuse(p.line, "%.60q adds no parameter", value)
	}
	return nil
}

func yes(field func(*sprout.Test) *bool) func(*parser, string) error {
	return func(p *parser, value string) error {
		if value != "yes" && value != "no" {
			return refuse(p.line, "%.60q must be yes or no", value)
		}
		*field(p.test) = value == "yes"
		return nil
	}
}

func (p *parser) needs(value string) error {
	p.test.Needs = strings.Fields(value)
	for _, name := range p.test.Needs {
		if strings.ContainsAny(name, "/\"'") || !printable(name) || len(name) > 63 {
			return refuse(p.line, "%.60q is no name of a program", name)
		}
	}
	if len(p.test.Needs) > mostNeeds {
		return refuse(p.line, "a test may need %d programs", mostNeeds)
	}
	return nil
}

// whole refuses what no single line shows.
func (p *parser) whole() error {
	t := p.test
	switch {
	case t.Title == "":
		return refuse(0, "its header has no title")
	case t.Kind == "":
		return refuse(0, "its header has no kind")
	case t.Destructive && t.Kind != "disk":
		return refuse(0, "only a test of disks can be destructive")
	}
	if t.TimeoutPlus == "" {
		return nil
	}
	i := slices.IndexFunc(t.Parameters, func(q sprout.TestParameter) bool { return q.Name == t.TimeoutPlus })
	if i < 0 || t.Parameters[i].Kind != sprout.DurationParameter {
		return refuse(0, "its timeout adds %.60q, which is no parameter that is a duration", t.TimeoutPlus)
	}
	return nil
}

func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) })
}
