// Command fuzz runs every fuzz target of the module, one after the other, and ends
// at the first that finds something. Nobody lists them: it looks for them.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

func main() {
	each := flag.Duration("time", 30*time.Second, "how long each target is run")
	only := flag.String("only", "", "only targets that this regular expression finds in PACKAGE.TARGET")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, ".", *each, *only, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

// A target is a function Fuzz… of a package's tests.
type target struct{ pkg, name string }

// run runs the targets of the module in dir.
func run(ctx context.Context, dir string, each time.Duration, only string, out io.Writer) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("cannot read --only: %w", err)
	}
	all, err := targets(ctx, dir)
	if err != nil {
		return err
	}
	ran := 0
	for _, t := range all {
		if !wanted.MatchString(t.pkg + "." + t.name) {
			continue
		}
		if err := t.fuzz(ctx, dir, each, out); err != nil {
			return err
		}
		ran++
	}
	if ran == 0 {
		return errors.New("no target was run")
	}
	_, err = fmt.Fprintf(out, "FUZZ targets=%d each=%s found=0\n", ran, each)
	return err
}

// targets finds every fuzz target of the module, in order.
func targets(ctx context.Context, dir string) (list []target, err error) {
	c := exec.CommandContext(ctx, "go", "list", "-json=Dir,ImportPath,TestGoFiles,XTestGoFiles", "./...")
	c.Dir, c.Stderr = dir, os.Stderr
	said, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot list the packages: %w", err)
	}
	for d := json.NewDecoder(bytes.NewReader(said)); ; {
		var p struct {
			Dir, ImportPath           string
			TestGoFiles, XTestGoFiles []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("cannot read the list of packages: %w", err)
		}
		for _, file := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
			names, err := targetsOf(filepath.Join(p.Dir, file))
			if err != nil {
				return nil, err
			}
			for _, name := range names {
				list = append(list, target{p.ImportPath, name})
			}
		}
	}
	slices.SortFunc(list, func(a, b target) int { return strings.Compare(a.pkg+" "+a.name, b.pkg+" "+b.name) })
	return list, nil
}

// targetsOf are the functions of a file that go test takes for fuzz targets.
func targetsOf(file string) (names []string, err error) {
	tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", file, err)
	}
	for _, d := range tree.Decls {
		f, ok := d.(*ast.FuncDecl)
		if ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Fuzz") && f.Type.Params.NumFields() == 1 {
			names = append(names, f.Name.Name)
		}
	}
	return names, nil
}

var (
	progress = regexp.MustCompile(`(?m)^fuzz: elapsed: .*execs: (\d+) .*new interesting: \d+ \(total: (\d+)\)`)
	again    = regexp.MustCompile(`(?m)^\s*go test -run=(\S+)$`)
)

// fuzz runs one target and prints a line. Inputs are made shorter in a hundred tries:
// where goroutines make coverage differ from run to run, that would go on for a minute.
// What it finds is kept in the package's testdata/fuzz, where go test tries it from
// then on.
func (t target) fuzz(ctx context.Context, dir string, each time.Duration, out io.Writer) error {
	began := time.Now()
	c := exec.CommandContext(ctx, "go", "test", "-run=^$", "-fuzz=^"+t.name+"$", "-fuzztime="+each.String(), "-fuzzminimizetime=100x", t.pkg)
	c.Dir = dir
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 10 * time.Second
	said, err := c.CombinedOutput()
	tries, corpus := "0", "0"
	if all := progress.FindAllSubmatch(said, -1); all != nil {
		tries, corpus = string(all[len(all)-1][1]), string(all[len(all)-1][2])
	}
	verdict := "ok"
	if err != nil {
		verdict = "FAILED"
	}
	_, _ = fmt.Fprintf(out, "FUZZ %s.%s tries=%s corpus=%s took=%s %s\n", t.pkg, t.name, tries, corpus, time.Since(began).Round(time.Second), verdict)
	if err == nil {
		return nil
	}
	how := "go test -run='^$' -fuzz='^" + t.name + "$' " + t.pkg
	if m := again.FindSubmatch(said); m != nil {
		how = fmt.Sprintf("go test -run='%s' %s", m[1], t.pkg)
	}
	return fmt.Errorf("%s.%s: %w\n%s\nto see it again: %s", t.pkg, t.name, err, said[max(0, len(said)-8000):], how)
}
