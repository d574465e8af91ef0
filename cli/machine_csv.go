package cli

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"sprout"
	"sprout/api"
)

// A csvColumn is what a column of a CSV file of machines may be, by the name in its
// first line: what it sets, and how the server calls that.
type csvColumn struct {
	name, field string
	set         func(m *api.NewMachine, value string) error
}

// csvColumns is the table of columns; label:KEY beside them is a label each.
var csvColumns = []csvColumn{
	{"site", "site", csvText(func(m *api.NewMachine) *string { return &m.Site })},
	{"name", "name", csvText(func(m *api.NewMachine) *string { return &m.Name })},
	{"mac", "macs", csvWords(func(m *api.NewMachine) *[]string { return &m.MACs })},
	{"arch", "architecture", csvText(func(m *api.NewMachine) *sprout.Architecture { return &m.Architecture })},
	{"boot-mode", "bootMode", csvText(func(m *api.NewMachine) *sprout.BootMode { return &m.BootMode })},
	{"secure-boot", "secureBoot", csvYesNo(func(m *api.NewMachine) *bool { return &m.SecureBoot })},
	{"virtual-media", "virtualMedia", csvYesNo(func(m *api.NewMachine) *bool { return &m.VirtualMedia })},
	{"record-console", "recordConsole", csvYesNo(func(m *api.NewMachine) *bool { return &m.RecordConsole })},
	{"bmc-driver", "bmc.driver", csvText(func(m *api.NewMachine) *string { return &bmcOf(m).Driver })},
	{"bmc-url", "bmc.url", csvText(func(m *api.NewMachine) *string { return &bmcOf(m).URL })},
	{"bmc-user", "bmc.username", csvText(func(m *api.NewMachine) *string { return &bmcOf(m).Username })},
	{"bmc-password", "bmc.password", csvText(func(m *api.NewMachine) *string { return &bmcOf(m).Password })},
	{"bmc-system", "bmc.system", csvText(func(m *api.NewMachine) *string { return &bmcOf(m).System })},
	{"bmc-insecure", "bmc.insecure", csvYesNo(func(m *api.NewMachine) *bool { return &bmcOf(m).Insecure })},
	{"tags", "tags", csvWords(func(m *api.NewMachine) *[]string { return &m.Tags })},
	{"pool", "pool", csvText(func(m *api.NewMachine) *string { return &m.Pool })},
	{"zone", "zone", csvText(func(m *api.NewMachine) *string { return &m.Zone })},
}

// csvLabel begins the name of a column that is a label.
const csvLabel = "label:"

// csvNames lists what the columns may be.
func csvNames() (all []string) {
	for _, c := range csvColumns {
		all = append(all, c.name)
	}
	return append(all, csvLabel+"KEY")
}

func csvText[T ~string](field func(*api.NewMachine) *T) func(*api.NewMachine, string) error {
	return func(m *api.NewMachine, value string) error {
		*field(m) = T(value)
		return nil
	}
}

func csvWords(field func(*api.NewMachine) *[]string) func(*api.NewMachine, string) error {
	return func(m *api.NewMachine, value string) error {
		*field(m) = strings.Fields(value)
		return nil
	}
}

func csvYesNo(field func(*api.NewMachine) *bool) func(*api.NewMachine, string) error {
	return func(m *api.NewMachine, value string) error {
		switch strings.ToLower(value) {
		case "yes", "true":
			*field(m) = true
		case "no", "false":
		default:
			return fmt.Errorf("%.60q must be yes or no", value)
		}
		return nil
	}
}

func bmcOf(m *api.NewMachine) *sprout.BMC {
	if m.BMC == nil {
		m.BMC = &sprout.BMC{}
	}
	return m.BMC
}

// csvColumnOf finds what a column is by its name.
func csvColumnOf(name string) (csvColumn, bool) {
	if key, is := strings.CutPrefix(name, csvLabel); is && key != "" {
		return csvColumn{name, "labels." + key, func(m *api.NewMachine, value string) error {
			if m.Labels == nil {
				m.Labels = sprout.Labels{}
			}
			m.Labels[key] = value
			return nil
		}}, true
	}
	i := slices.IndexFunc(csvColumns, func(c csvColumn) bool { return c.name == name })
	if i < 0 {
		return csvColumn{}, false
	}
	return csvColumns[i], true
}

// readCSV reads machines from a CSV file (RFC 4180) whose first line names the columns,
// with commas, semicolons or tabs between fields. Errors name line and column.
func readCSV(raw []byte, file string) (list []api.NewMachine, at csvPlaces, err error) {
	raw = bytes.TrimPrefix(raw, []byte("\ufeff")) // spreadsheets begin UTF-8 with it
	first, _, _ := bytes.Cut(raw, []byte("\n"))
	r := csv.NewReader(bytes.NewReader(raw))
	r.TrimLeadingSpace = true
	for _, comma := range ";\t" {
		if !bytes.ContainsRune(first, ',') && bytes.ContainsRune(first, comma) {
			r.Comma = comma
		}
	}
	at.file = file
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, at, sprout.InvalidField("--file", "%s is empty: its first line names the columns", file)
	}
	if err != nil {
		return nil, at, badCSV(file, err)
	}
	columns, err := csvHeader(r, header, file)
	if err != nil {
		return nil, at, err
	}
	for _, c := range columns {
		at.columns = append(at.columns, c.name)
	}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, at, badCSV(file, err)
		}
		var m api.NewMachine
		line, _ := r.FieldPos(0)
		for i, value := range row {
			if value = strings.TrimSpace(value); value == "" {
				continue
			}
			if err := columns[i].set(&m, value); err != nil {
				return nil, at, csvError(r, i, columns[i].name, file, "%v", err)
			}
		}
		list, at.lines = append(list, m), append(at.lines, line)
	}
	if len(list) == 0 {
		return nil, at, sprout.InvalidField("--file", "%s has no line after the one that names the columns", file)
	}
	return list, at, nil
}

func csvHeader(r *csv.Reader, header []string, file string) (columns []csvColumn, err error) {
	for i, name := range header {
		name = strings.TrimSpace(name)
		c, ok := csvColumnOf(name)
		if !ok {
			return nil, csvError(r, i, name, file, "there is no such column; there are %s", strings.Join(csvNames(), ", "))
		}
		if slices.ContainsFunc(columns, func(o csvColumn) bool { return o.name == c.name }) {
			return nil, csvError(r, i, name, file, "it is there twice")
		}
		columns = append(columns, c)
	}
	for _, needed := range []string{"name", "mac"} {
		if !slices.ContainsFunc(columns, func(c csvColumn) bool { return c.name == needed }) {
			return nil, sprout.InvalidField(file+" line 1", "there is no column %s, which is needed", needed)
		}
	}
	return columns, nil
}

// csvError says what is wrong with a field of the row that was read last.
func csvError(r *csv.Reader, i int, name, file, format string, args ...any) error {
	line, _ := r.FieldPos(i)
	return sprout.InvalidField(fmt.Sprintf("%s line %d, column %d (%.60s)", file, line, i+1, name), format, args...)
}

// badCSV says what is wrong with a row that is none.
func badCSV(file string, err error) error {
	var bad *csv.ParseError
	if !errors.As(err, &bad) {
		return sprout.InvalidField("--file", "cannot read %s: %v", file, err)
	}
	switch {
	case errors.Is(bad.Err, csv.ErrFieldCount):
		return sprout.InvalidField(fmt.Sprintf("%s line %d", file, bad.Line), "it has another number of fields than the first line")
	case errors.Is(bad.Err, csv.ErrQuote), errors.Is(bad.Err, csv.ErrBareQuote):
		return sprout.InvalidField(fmt.Sprintf("%s line %d, character %d", file, bad.Line, bad.Column), "a quote is not closed, or stands in the middle of a field")
	}
	return sprout.InvalidField(fmt.Sprintf("%s line %d", file, bad.Line), "%v", bad.Err)
}
