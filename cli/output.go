package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/itchyny/gojq"
	"sigs.k8s.io/yaml"

	"sprout"
)

var formats = []string{"table", "wide", "json", "yaml"}

func (e *env) checkOutput() error {
	if !slices.Contains(formats, e.format) {
		return sprout.InvalidField("--output", "%q is not one of %s", e.format, strings.Join(formats, ", "))
	}
	if e.jq == "" {
		return nil
	}
	if _, err := gojq.Parse(e.jq); err != nil {
		return sprout.InvalidField("--jq", "%q is no jq program: %v", e.jq, err)
	}
	return nil
}

// answer prints v as JSON or YAML where that was asked for, and else calls
// people, which prints it for people.
func (e *env) answer(v any, people func()) error {
	switch {
	case e.jq != "":
		return e.answerJQ(v)
	case e.format == "json":
		return writeJSON(e.stdout, v)
	case e.format == "yaml":
		raw, err := yaml.Marshal(v)
		if err != nil {
			return fmt.Errorf("cannot print YAML: %w", err)
		}
		_, err = e.stdout.Write(raw)
		return err
	}
	people()
	return nil
}

// machineReadable tells whether the answer is for a program: then nothing else
// may be written to stdout.
func (e *env) machineReadable() bool { return e.jq != "" || e.format == "json" || e.format == "yaml" }

func (e *env) answerJQ(v any) error {
	query, err := gojq.Parse(e.jq)
	if err != nil {
		return sprout.InvalidField("--jq", "%q is no jq program: %v", e.jq, err)
	}
	plain, err := toPlain(v)
	if err != nil {
		return err
	}
	for results := query.Run(plain); ; {
		result, ok := results.Next()
		if !ok {
			return nil
		}
		if err, failed := result.(error); failed {
			return sprout.InvalidField("--jq", "cannot run the program: %v", err)
		}
		if text, is := result.(string); is {
			fmt.Fprintln(e.stdout, text)
			continue
		}
		if err := writeJSON(e.stdout, result); err != nil {
			return err
		}
	}
}

// toPlain turns v into maps, slices, strings and numbers, as jq wants them.
func toPlain(v any) (any, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("cannot print JSON: %w", err)
	}
	var plain any
	err = json.Unmarshal(raw, &plain)
	return plain, err
}

func writeJSON(w io.Writer, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("cannot print JSON: %w", err)
	}
	_, err := w.Write(buf.Bytes())
	return err
}

// list prints items as a table, or as a JSON or YAML array. That there are none
// is said on standard error: a program that reads the table gets no line of it.
func list[T any](e *env, items []T, none string, columns []column[T]) error {
	if items == nil {
		items = []T{}
	}
	return e.answer(items, func() {
		if len(items) == 0 {
			fmt.Fprintln(e.stderr, none)
			return
		}
		writeTable(e, items, columns)
	})
}

// turn prints the next page over the last one, or below it.
func (e *env) turn(first bool, page string) {
	switch {
	case isTerminal(e.stdout):
		fmt.Fprint(e.stdout, "\x1b[H\x1b[2J")
	case !first && !e.machineReadable():
		fmt.Fprintln(e.stdout)
	}
	fmt.Fprint(e.stdout, page)
}

// A line is one "name: value" of a thing that is shown; empty values are left out.
type line struct{ Name, Value string }

// writeLines prints lines with their values in one column.
func writeLines(w io.Writer, lines []line) {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, l := range lines {
		if l.Value != "" {
			fmt.Fprintf(tw, "%s:\t%s\n", l.Name, l.Value)
		}
	}
	_ = tw.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
