package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// aCommand is a command line of ours in a script, to the end of the simple command.
	aCommand = regexp.MustCompile(`(?:^\s*|run |must_fail |\$\()sprout ((?:"[^"]*"|'[^']*'|[^"'|;&<>()])+)`)
	// aWord is one of its words; what stands in quotes is a part of one.
	aWord = regexp.MustCompile(`(?:"[^"]*"|'[^']*'|[^\s"'])+`)
	// many is what may be any number of words.
	many = regexp.MustCompile(`^"?\$(@|\{@:2\}|\{\w+\[[@*]\]\}|\{plug\[.*)"?$`)
	// filled is what a shell fills in.
	filled = regexp.MustCompile(`\$\{[^}]*\}|\$\w+`)
)

// shellWords splits a command line as a shell does. What it fills in stands for one word,
// and for none where it may be more.
func shellWords(line string) (words []string) {
	for _, w := range aWord.FindAllString(line, -1) {
		if many.MatchString(w) {
			continue
		}
		if w == "--" { // a command of somebody else follows
			break
		}
		words = append(words, strings.Trim(filled.ReplaceAllString(w, "x"), `"'`))
	}
	return words
}

// Every command in the scripts that install real machines is one, with flags that it has
// and an argument for each: those scripts run for an hour, and seldom.
func TestScriptsCallWhatThereIs(t *testing.T) {
	files, err := filepath.Glob("../*/*.sh")
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for n, line := range strings.Split(strings.ReplaceAll(string(raw), "\\\n", ""), "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "#") {
				continue
			}
			for _, found := range aCommand.FindAllStringSubmatch(line, -1) {
				words := shellWords(found[1])
				if len(words) == 0 { // any command
					continue
				}
				tried++
				if err := resolvesWhole(words); err != nil {
					t.Errorf("%s:%d: %s: %v", file, n+1, found[0], err)
				}
			}
		}
	}
	if tried < 50 {
		t.Errorf("only %d commands were found", tried)
	}
	for _, wrong := range []string{`machine commission "$1" --skip-tests`, `machine commission "$1" --skip-tests --wait`, `machine comission m1`, `machine deploy m1 --imago x`} {
		if resolvesWhole(shellWords(wrong)) == nil {
			t.Errorf("sprout %s was found right", wrong)
		}
	}
}
