package api

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// A finder turns what huma found wrong with a request into a fault that names
// the field, and the known one that is nearest to an unknown one.
type finder struct{ schemas huma.Registry }

func (f finder) toFault(ctx huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	fault := NewFault(ctx.Context(), model.Status, KindOfStatus(model.Status), model.Detail)
	for _, d := range model.Errors {
		field, message := f.wrongField(ctx.Operation(), d)
		fault.Errors = append(fault.Errors, Wrong{field, message})
	}
	if len(fault.Errors) > 0 {
		fault.Field, fault.Detail = fault.Errors[0].Field, fault.Errors[0].Detail
	}
	if len(fault.Errors) < 2 {
		fault.Errors = nil
	}
	return fault, nil
}

var missing = regexp.MustCompile(`^expected required property (\S+) to be present$`)

// wrongField says which field a finding is about, in the request's spelling.
func (f finder) wrongField(op *huma.Operation, d *huma.ErrorDetail) (field, message string) {
	location, field, _ := strings.Cut(d.Location, ".")
	switch {
	case missing.MatchString(d.Message):
		name := missing.FindStringSubmatch(d.Message)[1]
		return strings.TrimPrefix(field+"."+name, "."), "is required"
	case d.Message == "unexpected property":
		return field, "unknown field" + meant(field, f.fieldsAt(op, field))
	case d.Message == "unknown query parameter":
		return field, "unknown query parameter" + meant(field, queryOf(op))
	case location == "body" && field == "":
		return "", "cannot read the body: " + d.Message
	}
	return field, d.Message
}

// meant is what to add to the refusal of an unknown name.
func meant(field string, known []string) string {
	name := field[strings.LastIndex(field, ".")+1:]
	best, distance := "", len(name)/2+1
	for _, k := range known {
		if d := Edits(strings.ToLower(name), strings.ToLower(k)); d < distance {
			best, distance = k, d
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("; did you mean %s?", best)
	case len(known) == 0:
		return "; there are none"
	}
	return "; known are " + strings.Join(known[:min(len(known), 12)], ", ")
}

// queryOf lists the query parameters of an operation.
func queryOf(op *huma.Operation) (names []string) {
	for _, p := range op.Parameters {
		if p.In == "query" {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return names
}

// fieldsAt lists the fields of the object in the body that the field, such as
// machines[2].nam, lies in.
func (f finder) fieldsAt(op *huma.Operation, field string) (names []string) {
	if op.RequestBody == nil || op.RequestBody.Content["application/json"] == nil {
		return nil
	}
	schema := f.resolve(op.RequestBody.Content["application/json"].Schema)
	steps := strings.Split(field, ".")
	for _, step := range steps[:len(steps)-1] {
		name, _, item := strings.Cut(step, "[")
		if schema == nil {
			return nil
		}
		schema = f.resolve(schema.Properties[name])
		if item && schema != nil {
			schema = f.resolve(schema.Items)
		}
	}
	if schema == nil {
		return nil
	}
	for name := range schema.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (f finder) resolve(s *huma.Schema) *huma.Schema {
	if s != nil && s.Ref != "" {
		return f.schemas.SchemaFromRef(s.Ref)
	}
	return s
}

// Edits is how many bytes must be inserted, removed or replaced to make b of a
// (V. I. Levenshtein, Soviet Physics Doklady 10, 1966).
func Edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
