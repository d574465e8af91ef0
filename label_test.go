package sprout_test

import (
	"fmt"
	"strings"
	"testing"

	"sprout"
)

func TestSelectors(t *testing.T) {
	has := sprout.Labels{"rack": "r1", "env": "dev", "example.com/gpu": ""}
	for text, want := range map[string]bool{
		"": true, "rack=r1": true, "rack==r1": true, " rack = r1 , env=dev ": true, "rack=r2": false, "rack=r1,env=prod": false,
		"env!=prod": true, "env!=dev": false, "zone!=a": true, "example.com/gpu": true, "gpu": false, "!gpu": true, "!rack": false,
		"example.com/gpu=": true, "rack=": false, "rack!=": true,
	} {
		parts, err := sprout.ParseSelector(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		met := true
		for _, r := range parts {
			met = met && has.Meets(r)
		}
		if met != want {
			t.Errorf("%q selects: %t", text, met)
		}
	}
	for _, wrong := range []string{",", "rack=r1,", "=r1", "a b", "rack in (r1)", "-rack", "rack=-", "a/b/c", "/a", "a/", "UPPER.com/a", strings.Repeat("a", 64), "rack=" + strings.Repeat("a", 64), "a\x00", strings.Repeat("a,", 40) + "a"} {
		if _, err := sprout.ParseSelector(wrong); sprout.KindOf(err) != sprout.Invalid {
			t.Errorf("%q is taken: %v", wrong, err)
		}
	}
}

func TestLabelsAreBounded(t *testing.T) {
	many := sprout.Labels{}
	for i := range sprout.MostLabels {
		many[fmt.Sprint("k", i)] = "v"
	}
	if err := many.Check(); err != nil {
		t.Error(err)
	}
	many["one-more"] = ""
	if err := many.Check(); sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("%d labels: %v", len(many), err)
	}
	if err := (sprout.Labels{"rack": "r 1"}).Check(); sprout.KindOf(err) != sprout.Invalid {
		t.Error("a value with a space is taken")
	}
}

func TestWordsAreBounded(t *testing.T) {
	long := strings.Repeat("x", sprout.LongestWord)
	if err := sprout.CheckTags([]string{"gpu", long}); err != nil {
		t.Error(err)
	}
	for name, tags := range map[string][]string{"long": {long + "x"}, "empty": {""}, "many": make([]string, sprout.MostTags+1)} {
		if err := sprout.CheckTags(tags); sprout.KindOf(err) != sprout.Invalid {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
	}
}
