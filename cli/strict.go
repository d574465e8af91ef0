package cli

import (
	"encoding"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"sprout"
)

// decodeStrict reads YAML (or JSON) into v, which points to a struct or a slice
// of them. A key that v does not have is refused by its path, with the nearest
// that it has; file names the source in messages.
func decodeStrict(raw []byte, file string, v any) error {
	plain, err := yaml.YAMLToJSONStrict(raw)
	if err != nil {
		return sprout.Errorf(sprout.Invalid, "%s: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	var tree any
	if err := json.Unmarshal(plain, &tree); err != nil {
		return sprout.Errorf(sprout.Invalid, "%s: %v", file, err)
	}
	if err := unknownKey(tree, reflect.TypeOf(v).Elem(), ""); err != nil {
		err.Message = file + ": " + err.Message
		return err
	}
	if err := json.Unmarshal(plain, v); err != nil {
		return wrongType(file, err)
	}
	return nil
}

func wrongType(file string, err error) error {
	if bad, ok := err.(*json.UnmarshalTypeError); ok { //nolint:errorlint // Unmarshal returns it unwrapped
		return sprout.InvalidField(bad.Field, "%s: a %s is not allowed here, it must be %s", file, bad.Value, bad.Type)
	}
	return sprout.Errorf(sprout.Invalid, "%s: %v", file, err)
}

// unknownKey walks a decoded document beside the type it is meant for, and
// refuses the first key that the type does not have, or value that it cannot read.
func unknownKey(tree any, t reflect.Type, path string) *sprout.Error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if text, ok := reflect.New(t).Interface().(encoding.TextUnmarshaler); ok {
		return wrongText(tree, text, path)
	}
	switch node := tree.(type) {
	case []any:
		if t.Kind() != reflect.Slice {
			return nil // the decoder says what is wrong
		}
		for i, item := range node {
			if err := unknownKey(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case map[string]any:
		return unknownInMap(node, t, path)
	}
	return nil
}

// wrongText refuses a value that its own type cannot read.
func wrongText(tree any, into encoding.TextUnmarshaler, path string) *sprout.Error {
	word, ok := tree.(string)
	if !ok {
		return nil // the decoder says what is wrong
	}
	if err := into.UnmarshalText([]byte(word)); err != nil {
		return sprout.InvalidField(path, "cannot use %q%s", word, example(into))
	}
	return nil
}

// example shows what a type that reads itself wants.
func example(v encoding.TextUnmarshaler) string {
	switch v.(type) {
	case *netip.Prefix:
		return ": it must be an address with its prefix length, like 10.20.0.1/24"
	case *netip.Addr:
		return ": it must be an address, like 10.20.0.1"
	}
	return ""
}

func unknownInMap(node map[string]any, t reflect.Type, path string) *sprout.Error {
	if t.Kind() == reflect.Map {
		for key, value := range node {
			if err := unknownKey(value, t.Elem(), join(path, key)); err != nil {
				return err
			}
		}
		return nil
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	known := jsonFields(t)
	for key, value := range node {
		field, ok := known[key]
		if !ok {
			return refuseKey(join(path, key), key, known)
		}
		if err := unknownKey(value, field, join(path, key)); err != nil {
			return err
		}
	}
	return nil
}

func refuseKey(path, key string, known map[string]reflect.Type) *sprout.Error {
	var names []string
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	err := sprout.InvalidField(path, "unknown key; allowed are %s", strings.Join(names, ", "))
	if near := nearest(key, names); near != "" {
		return err.WithRemedy("%s", near)
	}
	return err
}

// jsonFields lists the keys that a struct reads, embedded structs included.
func jsonFields(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && !f.Anonymous && name != "" && name != "-" {
			fields[name] = f.Type
		}
	}
	return fields
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
