package sprout

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Labels are what people say of a machine, as key and value: rack=r1. Keys and
// values are written as Kubernetes writes labels: a key is a name of at most 63
// letters, digits, hyphens, underscores and dots, with a letter or digit at both
// ends, and may have a DNS name and a slash before it; a value is such a name, or
// empty.
type Labels map[string]string

// MostLabels is how many labels a machine may have.
const MostLabels = 64

var (
	labelName   = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
	labelDomain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$`)
)

// Check says which label is wrong, as an Invalid error that names it.
func (l Labels) Check() error {
	if len(l) > MostLabels {
		return InvalidField("labels", "%d labels are more than the %d that a machine may have", len(l), MostLabels)
	}
	for key, value := range l {
		if err := checkLabel(key, value); err != nil {
			return err
		}
	}
	return nil
}

func checkLabel(key, value string) error {
	domain, name, qualified := strings.Cut(key, "/")
	if !qualified {
		domain, name = "", key
	}
	switch {
	case !labelName.MatchString(name), qualified && (len(domain) > 253 || !labelDomain.MatchString(domain)):
		return InvalidField("labels", "%q is no key of a label such as rack or example.com/rack", key)
	case value != "" && !labelName.MatchString(value):
		return InvalidField("labels", "%q is no value of the label %s: at most 63 letters, digits, hyphens, underscores and dots, a letter or digit at both ends", value, key)
	}
	return nil
}

// What people say of a machine in words of their own is bounded: it is indexed,
// and shown in tables.
const (
	MostTags    = 64
	LongestWord = 128 // bytes of a tag, a pool, a failure zone or an owner
)

// CheckTags says what is wrong with the tags of a machine, as an Invalid error.
func CheckTags(tags []string) error {
	if len(tags) > MostTags {
		return InvalidField("tags", "%d tags are more than the %d that a machine may have", len(tags), MostTags)
	}
	for _, tag := range tags {
		if tag == "" {
			return InvalidField("tags", "a tag cannot be empty")
		}
		if err := CheckWord("tags", tag); err != nil {
			return err
		}
	}
	return nil
}

// CheckWord says that a tag, pool, zone or owner is too long, as an Invalid
// error about the field.
func CheckWord(field, word string) error {
	if len(word) > LongestWord {
		return InvalidField(field, "%.20q… is longer than %d bytes", word, LongestWord)
	}
	return nil
}

// A Requirement is one part of a label selector.
type Requirement struct {
	Key    string
	Value  string
	Exists bool // whatever the value
	Not    bool // what does not meet the rest, a machine without the label too
}

// MostRequirements is how many parts a label selector may have.
const MostRequirements = 32

// ParseSelector reads a label selector: parts with commas between them that must
// all be met. A part is key=value, key!=value (another value, or no such label),
// key (whatever its value) or !key (no such label). Empty selects everything.
func ParseSelector(text string) ([]Requirement, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var all []Requirement
	for part := range strings.SplitSeq(text, ",") {
		r := parseRequirement(strings.TrimSpace(part))
		if err := checkLabel(r.Key, r.Value); err != nil {
			return nil, InvalidField("labels", "%q is none of key=value, key!=value, key and !key", part)
		}
		if all = append(all, r); len(all) > MostRequirements {
			return nil, InvalidField("labels", "a selector has at most %d parts", MostRequirements)
		}
	}
	return all, nil
}

func parseRequirement(part string) Requirement {
	if key, value, ok := strings.Cut(part, "!="); ok {
		return Requirement{Key: strings.TrimSpace(key), Value: strings.TrimSpace(value), Not: true}
	}
	if key, value, ok := strings.Cut(part, "="); ok {
		return Requirement{Key: strings.TrimSpace(key), Value: strings.TrimSpace(strings.TrimPrefix(value, "="))}
	}
	key, not := strings.CutPrefix(part, "!")
	return Requirement{Key: strings.TrimSpace(key), Exists: true, Not: not}
}

// String writes a requirement as ParseSelector reads it.
func (r Requirement) String() string {
	not := ""
	if r.Not {
		not = "!"
	}
	if r.Exists {
		return not + r.Key
	}
	return r.Key + not + "=" + r.Value
}

// String writes labels by key: env=prod, rack=r1.
func (l Labels) String() string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(l)) {
		all = append(all, key+"="+l[key])
	}
	return strings.Join(all, ", ")
}

// Meets tells whether labels meet a requirement.
func (l Labels) Meets(r Requirement) bool {
	value, has := l[r.Key]
	return (has && (r.Exists || value == r.Value)) != r.Not
}
