package cli

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "rewrite generated files")

func TestReferenceIsGenerated(t *testing.T) {
	path := filepath.Join("..", "docs", "reference", "cli.md")
	want := reference()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil { // a document that everyone may read
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the commands say: run make generate", path)
	}
}

// Help is how people learn a command: each that does something says what, shows
// an example that runs it, and explains every flag.
func TestEveryCommandIsExplained(t *testing.T) {
	root := rootCommand(newEnv(strings.NewReader(""), io.Discard, io.Discard))
	documented(root, func(c *cobra.Command) {
		if !strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: its summary %q is no sentence", c.CommandPath(), c.Short)
		}
		if !c.HasSubCommands() && !strings.Contains(c.Example, c.CommandPath()) {
			t.Errorf("%s: no example runs it", c.CommandPath())
		}
		for l := range strings.Lines(flagUsages(c)) {
			if len(strings.Fields(l)) < 3 {
				t.Errorf("%s: a flag without an explanation: %s", c.CommandPath(), l)
			}
		}
	})
}

// reference writes down every command as its --help shows it.
func reference() string {
	var b strings.Builder
	root := rootCommand(newEnv(strings.NewReader(""), io.Discard, io.Discard))
	b.WriteString("# Commands\n\nGenerated from the commands' own help by `make generate`.\n\nFlags of every command:\n\n```\n" +
		root.PersistentFlags().FlagUsages() + "```\n\n" +
		"The control plane is found by `--server` and `--token`, else `SPROUT_SERVER` and `SPROUT_TOKEN`, else the current context of the file\n" +
		"`SPROUT_CONFIG` or `~/.config/sprout/config.yaml`.\n" +
		"Colours are off where output is no terminal or `NO_COLOR` is set. `sprout completion bash` (zsh, fish) prints what completes\n" +
		"commands, flags, and the names of machines, sites, networks, images and workflows.\n\n" +
		"## Exit codes\n\n| code | means |\n|---|---|\n")
	for _, row := range exitCodes {
		fmt.Fprintf(&b, "| %d | %s |\n", row.Code, row.Means)
	}
	b.WriteString("\n## What asks first\n\n" +
		"What destroys, and what is about several machines that flags selected, is shown and confirmed first: by typing `yes` or how many machines it is\n" +
		"about. `--yes` does it without asking; `--plan` shows it and does nothing. Where there is no terminal and no `--yes`, nothing is done (exit code 4).\n" +
		"One named machine is answered by its workflow or itself; several, or selected ones, by one document with an item for each.\n")
	documented(root, func(c *cobra.Command) {
		if c != root {
			describe(&b, c)
		}
	})
	return b.String()
}

func describe(b *strings.Builder, c *cobra.Command) {
	level := strings.Repeat("#", min(1+strings.Count(c.CommandPath(), " "), 3))
	fmt.Fprintf(b, "\n%s %s\n\n%s\n", level, c.CommandPath(), c.Short)
	if c.Long != "" {
		fmt.Fprintf(b, "\n%s\n", c.Long)
	}
	if !c.HasSubCommands() || c.Annotations["runs"] != "" {
		fmt.Fprintf(b, "\n```\n%s\n```\n", c.UseLine())
	}
	if c.Example != "" {
		fmt.Fprintf(b, "\nExamples:\n\n```\n%s\n```\n", strings.TrimRight(strings.ReplaceAll("\n"+c.Example, "\n  ", "\n"), "\n")[1:])
	}
	if usages := flagUsages(c); usages != "" {
		fmt.Fprintf(b, "\nFlags:\n\n```\n%s```\n", usages)
	}
}

// flagUsages is the usage of a command's own flags.
func flagUsages(c *cobra.Command) string {
	return c.LocalNonPersistentFlags().FlagUsages() + ownPersistent(c)
}

func ownPersistent(c *cobra.Command) string {
	if !c.HasParent() {
		return ""
	}
	return c.PersistentFlags().FlagUsages()
}

// documented visits every command that help shows.
func documented(root *cobra.Command, visit func(*cobra.Command)) {
	walk(root, func(c *cobra.Command) {
		if !c.Hidden {
			visit(c)
		}
	})
}
