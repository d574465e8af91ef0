// Package kexec finds the kernel of a system that is installed on a disk, as its boot
// loader would, and has the running kernel start it in place of the firmware
// (kexec_file_load(2)). It must not know why.
package kexec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// An Entry is what a boot loader would start.
type Entry struct {
	Kernel  string   // its path in the file system that it was found in
	Initrds []string // likewise, in their order; none: it needs none
	Cmdline string
}

// configs are where GRUB has its configuration: from the root, or from a /boot of its own.
var configs = []string{"boot/grub/grub.cfg", "boot/grub2/grub.cfg", "grub/grub.cfg", "grub2/grub.cfg"}

// entryDirs are where entries of the Boot Loader Specification are (version 1, "Type #1").
var entryDirs = []string{"boot/loader/entries", "loader/entries"}

// errNone is of a file system in which no boot loader is configured.
var errNone = errors.New("no boot loader's configuration is on the disk")

// Find reads the boot loader's configuration in a file system: the first entry of GRUB's
// menu, else the newest of the Boot Loader Specification. Its error is errNone where
// there is no configuration, and says what cannot be understood where there is one.
func Find(root *os.Root) (Entry, error) {
	found := errNone
	for _, name := range configs {
		raw, err := root.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Entry{}, err
		}
		e, err := parseGRUB(string(raw))
		if err == nil {
			return e, e.check(root)
		}
		found = fmt.Errorf("/%s: %w", name, err)
	}
	for _, dir := range entryDirs {
		e, ok, err := newest(root, dir)
		if err != nil {
			return Entry{}, err
		}
		if ok {
			return e, e.check(root)
		}
	}
	return Entry{}, found
}

// check wants the entry's files to be there.
func (e Entry) check(root *os.Root) error {
	for _, name := range append([]string{e.Kernel}, e.Initrds...) {
		info, err := root.Stat(strings.TrimLeft(name, "/"))
		if err != nil {
			return fmt.Errorf("the boot loader's entry names %s: %w", name, err)
		}
		if !info.Mode().IsRegular() || info.Size() == 0 {
			return fmt.Errorf("the boot loader's entry names %s, which is no file, or empty", name)
		}
	}
	return nil
}

// parseGRUB takes the first entry of a configuration of GRUB that starts a kernel.
func parseGRUB(text string) (e Entry, err error) {
	in := false
	for line := range strings.Lines(text) {
		words, err := split(line)
		if err != nil || len(words) == 0 {
			continue // what it does not start a kernel by may be anything
		}
		switch words[0] {
		case "set":
			if d, ok := strings.CutPrefix(strings.Join(words[1:], " "), "default="); ok && d != "0" && d != "" && !strings.Contains(d, "$") {
				return Entry{}, fmt.Errorf("its default is %q, not the first entry", d)
			}
		case "menuentry":
			if e.Kernel != "" {
				return e, e.plain()
			}
			in = true
		case "linux", "linux16", "linuxefi":
			if in && len(words) > 1 && e.Kernel == "" {
				e.Kernel, e.Cmdline = words[1], cmdline(words[2:])
			}
		case "initrd", "initrd16", "initrdefi":
			if in && e.Kernel != "" && e.Initrds == nil {
				e.Initrds = words[1:]
			}
		}
	}
	if e.Kernel == "" {
		return e, errors.New("its menu has no entry that starts a kernel")
	}
	return e, e.plain()
}

// cmdline is the kernel's of words: one with a space is quoted, as by GRUB's linux.
func cmdline(words []string) string {
	for i, w := range words {
		if strings.ContainsAny(w, " \t") {
			words[i] = `"` + w + `"`
		}
	}
	return strings.Join(words, " ")
}

// plain wants no variables of the boot loader, which only it can fill in.
func (e Entry) plain() error {
	for _, word := range append([]string{e.Kernel, e.Cmdline}, e.Initrds...) {
		if strings.Contains(word, "$") {
			return fmt.Errorf("its entry has variables: %q", word)
		}
	}
	return nil
}

// split parts a line of GRUB's script into words: quotes hold words together, and a
// backslash takes the meaning of what follows it (GRUB's manual, "Quoting").
func split(line string) (words []string, err error) {
	var word strings.Builder
	quote, escaped, has := rune(0), false, false
	for _, r := range strings.TrimSpace(line) {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, has = true, true
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				word.WriteRune(r)
			}
		case r == '\'' || r == '"':
			quote, has = r, true
		case r == '#' && !has && word.Len() == 0:
			return words, nil
		case r == ' ' || r == '\t':
			if has || word.Len() > 0 {
				words = append(words, word.String())
			}
			word.Reset()
			has = false
		default:
			word.WriteRune(r)
		}
	}
	if quote != 0 || escaped {
		return nil, errors.New("a quote has no end")
	}
	if has || word.Len() > 0 {
		words = append(words, word.String())
	}
	return words, nil
}

// newest is the last of a directory's entries by their names, as loaders sort them: by
// their versions.
func newest(root *os.Root, dir string) (e Entry, ok bool, err error) {
	list, err := fs.ReadDir(root.FS(), dir)
	if errors.Is(err, fs.ErrNotExist) {
		return e, false, nil
	}
	if err != nil {
		return e, false, err
	}
	list = slices.DeleteFunc(list, func(f fs.DirEntry) bool { return path.Ext(f.Name()) != ".conf" || strings.Contains(f.Name(), "rescue") })
	if len(list) == 0 {
		return e, false, nil
	}
	last := slices.MaxFunc(list, func(a, b fs.DirEntry) int { return compareVersions(a.Name(), b.Name()) })
	raw, err := root.ReadFile(path.Join(dir, last.Name()))
	if err != nil {
		return e, false, err
	}
	for line := range strings.Lines(string(raw)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch value = strings.TrimSpace(value); key {
		case "linux":
			e.Kernel = value
		case "initrd":
			e.Initrds = append(e.Initrds, strings.Fields(value)...)
		case "options":
			e.Cmdline = strings.TrimSpace(e.Cmdline + " " + value)
		}
	}
	if e.Kernel == "" {
		return e, false, fmt.Errorf("/%s/%s names no kernel", dir, last.Name())
	}
	return e, true, e.plain()
}

// compareVersions compares names in which numbers count as such: 6.9 is before 6.10.
func compareVersions(a, b string) int {
	for a != "" && b != "" {
		x, y := digits(a), digits(b)
		if x > 0 && y > 0 {
			m, n := strings.TrimLeft(a[:x], "0"), strings.TrimLeft(b[:y], "0")
			if len(m) != len(n) {
				return len(m) - len(n)
			}
			if c := strings.Compare(m, n); c != 0 {
				return c
			}
			a, b = a[x:], b[y:]
			continue
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

func digits(s string) int {
	return len(s) - len(strings.TrimLeft(s, "0123456789"))
}
