package audit

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"sprout"
)

// What a record may hold of a change: a record stays small whatever changed.
const (
	longest    = 256 // bytes of a value; a longer one is told by length and digest
	mostFields = 100
)

// secretWords are what the last part of a field's name must not hold, in lower
// case: what is kept there is said to have changed and never shown.
var secretWords = []string{"password", "secret", "token", "seed", "jwt", "privatekey", "userdata", "passphrase", "credential"}

// derived are fields that say nothing about what somebody changed: times of the
// row itself, names of what ids name, and what a machine or its workflow reports.
var derived = []string{
	"createdAt", "changedAt", "revision", "siteName", "machineName", "generation", "activity", "power", "powerAt", "bmcAbout", "inventory", "tests", "problems",
	"steps", "wait", "progress", "online", "lastSeen", "applied", "wanted",
}

// hidden stands for a secret.
var hidden = json.RawMessage(`"(secret)"`)

// Diff returns what is different between two versions of a thing, by the paths
// of their JSON. Nil is a thing that is not there: all of the other's
// fields that say anything are returned. Two secrets that differ are said to.
func Diff(before, after any) []sprout.FieldChange {
	from, to := leaves(before), leaves(after)
	var paths []string
	for path := range from {
		paths = append(paths, path)
	}
	for path := range to {
		if _, both := from[path]; !both {
			paths = append(paths, path)
		}
	}
	slices.SortFunc(paths, func(a, b string) int { // lists last: what is cut off is of them
		return cmp.Or(cmp.Compare(strings.Count(a, "["), strings.Count(b, "[")), cmp.Compare(a, b))
	})
	var changes []sprout.FieldChange
	for _, path := range paths {
		if bytes.Equal(from[path], to[path]) {
			continue
		}
		if len(changes) == mostFields {
			return append(changes, sprout.FieldChange{Field: "…", To: text(fmt.Sprintf("and more: %d fields in all", len(paths)))})
		}
		changes = append(changes, sprout.FieldChange{Field: path, From: shown(path, from[path]), To: shown(path, to[path])})
	}
	return changes
}

// shown is a value as a record may hold it.
func shown(path string, raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return nil
	}
	name := strings.ToLower(path[strings.LastIndexByte(path, '.')+1:])
	for _, word := range secretWords {
		if strings.Contains(name, word) {
			return hidden
		}
	}
	if len(raw) <= longest {
		return raw
	}
	sum := sha256.Sum256(raw)
	return json.RawMessage(fmt.Sprintf(`{"bytes":%d,"sha256":"%s"}`, len(raw), hex.EncodeToString(sum[:])))
}

// leaves returns every value of a thing by its path. A list of plain values is
// one; what is empty is not there.
func leaves(thing any) map[string]json.RawMessage {
	found := map[string]json.RawMessage{}
	if v := reflect.ValueOf(thing); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return found
	}
	raw, err := json.Marshal(thing)
	if err != nil {
		found["?"] = text("cannot be shown")
		return found
	}
	var plain any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&plain); err != nil {
		found["?"] = text("cannot be shown")
		return found
	}
	walk("", plain, found)
	return found
}

func walk(path string, v any, found map[string]json.RawMessage) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if path != "" {
				name = path + "." + name
			} else if slices.Contains(derived, name) {
				continue
			}
			walk(name, value, found)
		}
	case []any:
		if plain(v) {
			if len(v) > 0 {
				found[path] = encode(v)
			}
			return
		}
		for i, value := range v {
			walk(fmt.Sprintf("%s[%d]", path, i), value, found)
		}
	case nil:
	case string:
		if v != "" {
			found[path] = encode(v)
		}
	default:
		found[path] = encode(v)
	}
}

// plain tells whether a list holds neither lists nor objects.
func plain(list []any) bool {
	return !slices.ContainsFunc(list, func(v any) bool {
		switch v.(type) {
		case map[string]any, []any:
			return true
		}
		return false
	})
}

func encode(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		return text("cannot be shown") // what was decoded from JSON always encodes
	}
	return raw
}

func text(s string) json.RawMessage { return json.RawMessage(`"` + s + `"`) }
