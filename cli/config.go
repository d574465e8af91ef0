package cli

import (
	"encoding"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"sprout"
)

// configure reads a process's settings into config, which points to a struct
// with its defaults: the YAML file, if one is named, then the environment. A
// setting a.bC is also PREFIX_A_B_C. What neither knows is refused by name.
func (e *env) configure(prefix, file string, config any) error {
	if file != "" {
		raw, err := os.ReadFile(file)
		if err != nil {
			return sprout.InvalidField("--config", "cannot read it: %v", err)
		}
		if err := decodeStrict(raw, file, config); err != nil {
			return err
		}
	}
	settings := map[string]reflect.Value{}
	collect(reflect.ValueOf(config).Elem(), prefix, settings)
	for name, field := range settings {
		value := e.getenv(name)
		if value == "" {
			continue
		}
		if err := setText(field, value); err != nil {
			if text, ok := field.Addr().Interface().(encoding.TextUnmarshaler); ok && example(text) != "" {
				return sprout.InvalidField(name, "cannot use %q%s", value, example(text))
			}
			return sprout.InvalidField(name, "cannot use %q: %v", value, err)
		}
	}
	return e.unknownSettings(prefix, settings)
}

// collect lists the settings of a struct by the variable that sets each.
func collect(v reflect.Value, prefix string, settings map[string]reflect.Value) {
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		variable, field := prefix+"_"+upperSnake(name), v.Field(i)
		_, text := field.Addr().Interface().(interface{ UnmarshalText([]byte) error })
		switch {
		case field.Kind() == reflect.Struct && !text:
			collect(field, variable, settings)
		case text || settable(field.Kind()) && (field.Kind() != reflect.Slice || field.Type().Elem().Kind() == reflect.String):
			settings[variable] = field
		}
	}
}

func settable(k reflect.Kind) bool {
	return slices.Contains([]reflect.Kind{reflect.Slice, reflect.String, reflect.Bool, reflect.Int, reflect.Uint16}, k)
}

// upperSnake writes tokenFile as TOKEN_FILE.
func upperSnake(name string) string {
	var out strings.Builder
	for _, r := range name {
		if r >= 'A' && r <= 'Z' {
			out.WriteByte('_')
		}
		out.WriteRune(r)
	}
	return strings.ToUpper(out.String())
}

func setText(field reflect.Value, value string) error {
	if text, ok := field.Addr().Interface().(interface{ UnmarshalText([]byte) error }); ok {
		return text.UnmarshalText([]byte(value))
	}
	switch field.Kind() {
	case reflect.Slice: // of words
		words := reflect.MakeSlice(field.Type(), 0, 1)
		for word := range strings.SplitSeq(value, ",") {
			words = reflect.Append(words, reflect.ValueOf(strings.TrimSpace(word)))
		}
		field.Set(words)
		return nil
	case reflect.Bool:
		b, err := strconv.ParseBool(value)
		field.SetBool(b)
		return err
	case reflect.Int:
		n, err := strconv.ParseInt(value, 10, 64)
		field.SetInt(n)
		return err
	case reflect.Uint16:
		n, err := strconv.ParseUint(value, 10, 16)
		field.SetUint(n)
		return err
	default:
		field.SetString(value)
		return nil
	}
}

// unknownSettings refuses variables that look like settings and are none. The
// bare prefix, and what the command line itself reads, are others' business.
func (e *env) unknownSettings(prefix string, settings map[string]reflect.Value) error {
	var names []string
	for name := range settings {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, pair := range e.environ() {
		name, _, _ := strings.Cut(pair, "=")
		_, known := settings[name]
		if known || !strings.HasPrefix(name, prefix+"_") || name == prefix+"_CONFIG" || name == prefix+"_TOKEN" {
			continue
		}
		err := sprout.InvalidField(name, "no such setting; there are %s", strings.Join(names, ", "))
		if near := nearest(name, names); near != "" {
			return err.WithRemedy("%s", near)
		}
		return err
	}
	return nil
}
