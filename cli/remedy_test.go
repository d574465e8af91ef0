package cli

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"sprout"
)

// Whatever a remedy tells to type exists: the command, its flags, and the number
// of its arguments. Checked are the table of problems and every remedy, and
// every text that begins as a command, in the source of the whole tree.
func TestRemediesAreCommandsThatExist(t *testing.T) {
	checked := 0
	check := func(where, text string) {
		for _, line := range commandLines(text) {
			checked++
			if err := resolves(line); err != nil {
				t.Errorf("%s: %q: %v", where, text, err)
			}
		}
	}
	for _, p := range sprout.Problems {
		check("problem "+string(p.Code), p.Remedy)
	}
	for _, r := range remediesOf(t, "..") {
		check(r.where, r.text)
	}
	if checked < 40 {
		t.Errorf("only %d commands were found: the search itself is broken", checked)
	}
	for _, wrong := range []string{"sprout machine update {machine} --unlock", "sprout boot shew m1", "sprout machine", "sprout network show"} {
		if len(commandLines(wrong)) != 1 || resolves(commandLines(wrong)[0]) == nil {
			t.Errorf("this check lets %q pass", wrong)
		}
	}
}

// resolves tells whether a command line is one, prose behind it left out.
func resolves(words []string) error {
	err := resolvesWhole(words)
	if last := len(words) - 1; err != nil && last > 1 && !strings.HasPrefix(words[last], "-") && resolves(words[:last]) == nil {
		return nil
	}
	return err
}

func resolvesWhole(words []string) error {
	root := rootCommand(newEnv(strings.NewReader(""), &strings.Builder{}, &strings.Builder{}))
	c, rest, err := root.Find(words)
	c.InitDefaultHelpFlag() // as running it does
	if err != nil {
		return err
	}
	if c == root || c.HasSubCommands() && c.Annotations["runs"] == "" {
		return fmt.Errorf("%q is no command", strings.Join(words, " "))
	}
	for i, w := range rest { // any value will do for a flag of any type
		name, _, given := strings.Cut(strings.TrimPrefix(w, "--"), "=")
		if !strings.HasPrefix(w, "--") || given {
			continue
		}
		f := c.Flag(name)
		if f == nil {
			return fmt.Errorf("%s has no flag --%s", c.CommandPath(), name)
		}
		if f.NoOptDefVal == "" && i+1 < len(rest) && strings.HasPrefix(rest[i+1], "--") {
			return fmt.Errorf("--%s has no value", name)
		}
		if f.Value.Type() != "string" && f.NoOptDefVal == "" && i+1 < len(rest) {
			rest[i+1] = "1"
			if f.Value.Type() == "duration" {
				rest[i+1] = "1s"
			}
		}
	}
	if err := c.ParseFlags(rest); err != nil {
		return err
	}
	return argumentsOf(c)
}

func argumentsOf(c *cobra.Command) error {
	if err := c.ValidateArgs(c.Flags().Args()); err != nil {
		return fmt.Errorf("%s: %w", c.CommandPath(), err)
	}
	return nil
}

var placeholder = regexp.MustCompile(`%[a-z]|\{[a-z]+\}`)

// commandLines finds the command lines in a text: the words from "sprout" to
// what ends a clause.
func commandLines(text string) (lines [][]string) {
	words := strings.Fields(placeholder.ReplaceAllString(text, "x1"))
	for i := 0; i < len(words); i++ {
		if words[i] != "sprout" {
			continue
		}
		var line []string
		for i++; i < len(words); i++ {
			word := strings.TrimRight(words[i], ",;:)")
			if word == "" || word == "or" || word == "starts" || word == "sprout" {
				break
			}
			line = append(line, word)
			if word != words[i] {
				break
			}
		}
		if len(line) > 0 {
			lines = append(lines, line)
		}
	}
	return lines
}

type remedy struct{ where, text string }

// remediesOf reads the remedies from the source below dir, tests left out.
func remediesOf(t *testing.T, dir string) (found []remedy) {
	t.Helper()
	files := token.NewFileSet()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		add := func(e ast.Expr) {
			for _, text := range textsOf(e) {
				found = append(found, remedy{files.Position(e.Pos()).String(), text})
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				addCall(n, add)
			case *ast.KeyValueExpr:
				if k, ok := n.Key.(*ast.Ident); ok && k.Name == "Remedy" {
					add(n.Value)
				}
			case *ast.AssignStmt:
				for i, left := range n.Lhs {
					if s, ok := left.(*ast.SelectorExpr); ok && s.Sel.Name == "Remedy" && len(n.Lhs) == len(n.Rhs) {
						add(n.Rhs[i])
					}
				}
			case *ast.ReturnStmt: // a function that makes remedies
				for _, e := range n.Results {
					for _, text := range textsOf(e) {
						if strings.HasPrefix(text, "sprout ") {
							add(e)
						}
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// addCall finds e.WithRemedy("…"), and what a finder of a noun remedies with.
func addCall(call *ast.CallExpr, add func(ast.Expr)) {
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		if f.Sel.Name == "WithRemedy" && len(call.Args) > 0 {
			if text := textsOf(call.Args[0]); len(text) == 1 && strings.HasPrefix(text[0], "sprout %s") {
				return // the noun is checked where match is called
			}
			add(call.Args[0])
		}
	case *ast.Ident:
		if f.Name == "match" && len(call.Args) > 0 {
			if noun := textsOf(call.Args[0]); len(noun) == 1 {
				add(&ast.BasicLit{ValuePos: call.Pos(), Kind: token.STRING, Value: strconv.Quote("sprout " + noun[0] + " list")})
			}
		}
	}
}

// textsOf returns the text that an expression is, as far as it is written there:
// for "a" + b it is "a x1".
func textsOf(e ast.Expr) []string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return []string{text}
		}
	case *ast.BinaryExpr:
		left, right := textsOf(e.X), textsOf(e.Y)
		if len(left) == 1 && len(right) == 0 {
			return []string{left[0] + "x1"}
		}
		if len(left) == 1 && len(right) == 1 {
			return []string{left[0] + right[0]}
		}
	}
	return nil
}
