package sim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"sprout"
)

// A kernel is what an iPXE script boots.
type kernel struct {
	url     string
	cmdline []string
	initrds []string
}

// A script is iPXE at work: it does the commands that a boot script needs
// (ipxe.org/cmd) and refuses others.
type script struct {
	machine *Machine
	web     *web
	base    string // URL of the script: relative ones start there
	vars    map[string]string
	kernel  kernel
}

// scriptsDeep is how often a script may chain to another.
const scriptsDeep = 8

// How a script goes on after a command.
var (
	errBoot  = errors.New("boot")
	errChain = errors.New("chain")
)

// runScript fetches the script that the lease names and does what it says
// until it boots, or exits (errExit).
func (m *Machine) runScript(ctx context.Context, w *web, l lease) (kernel, error) {
	s := &script{machine: m, web: w, vars: m.variables(l), base: l.file}
	for range scriptsDeep {
		text, err := w.text(ctx, s.base)
		if err != nil {
			return kernel{}, fmt.Errorf("cannot fetch the script: %w", err)
		}
		switch err := s.run(ctx, text); {
		case errors.Is(err, errBoot):
			return s.kernel, nil
		case !errors.Is(err, errChain):
			return kernel{}, err
		}
	}
	return kernel{}, errors.New("scripts chain to scripts without end")
}

// variables are the settings of iPXE that scripts ask for (ipxe.org/cfg).
func (m *Machine) variables(l lease) map[string]string {
	platform, arch := "efi", map[sprout.Architecture]string{sprout.AMD64: "x86_64", sprout.ARM64: "arm64"}[m.spec.Architecture]
	if m.spec.BootMode == sprout.BIOS {
		platform, arch = "pcbios", "i386"
	}
	vars := map[string]string{
		"platform": platform, "buildarch": arch, "uuid": m.spec.UUID, "serial": m.spec.Serial,
		"next-server": l.server.String(), "hostname": l.hostname,
	}
	for _, nic := range []string{"", "net0/", "netX/"} {
		vars[nic+"mac"], vars[nic+"ip"] = m.mac.String(), l.ip.String()
		vars[nic+"mac:hexhyp"] = strings.ReplaceAll(m.mac.String(), ":", "-")
	}
	return vars
}

// run does one script until it boots, chains or exits; a script that ends is
// left.
func (s *script) run(ctx context.Context, text string) error {
	lines := strings.Split(text, "\n")
	if strings.TrimSpace(lines[0]) != "#!ipxe" {
		return fmt.Errorf("%s is no iPXE script", s.base)
	}
	for at := 1; at < len(lines); at++ {
		label, err := s.line(ctx, lines[at])
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		if label == "" {
			continue
		}
		if at = labelled(lines, label); at < 0 {
			return fmt.Errorf("%s has no label %q", s.base, label)
		}
	}
	return errExit
}

func labelled(lines []string, label string) int {
	for i, line := range lines {
		if strings.TrimSpace(line) == ":"+label {
			return i
		}
	}
	return -1
}

// line does one line: commands joined by && (if the last succeeded) and || (if
// it failed). label is where to go on.
func (s *script) line(ctx context.Context, line string) (label string, err error) {
	words := strings.Fields(s.expand(line))
	if len(words) == 0 || words[0][0] == '#' || words[0][0] == ':' {
		return "", nil
	}
	joint := "&&"
	for len(words) > 0 || joint == "||" {
		end := 0
		for end < len(words) && words[end] != "&&" && words[end] != "||" {
			end++
		}
		if (joint == "&&") == (err == nil) {
			label, err = "", nil
			if end > 0 {
				label, err = s.command(ctx, words[0], options(words[1:end]))
			}
		}
		if label != "" || ends(err) || end == len(words) {
			return label, err
		}
		joint, words = words[end], words[end+1:]
	}
	return label, err
}

// ends tells whether err is the end of the script, not a command that failed.
func ends(err error) bool {
	for _, end := range []error{errBoot, errChain, errExit, errReboot, errPowerOff, errPowerLost} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

func (s *script) command(ctx context.Context, name string, args []string) (label string, err error) {
	switch name {
	case "echo", "imgfree", "dhcp", "ifopen":
		return "", nil
	case "exit":
		return "", errExit
	case "reboot":
		return "", errReboot
	case "poweroff":
		return "", errPowerOff
	case "boot":
		if s.kernel.url == "" {
			return "", errors.New("the script boots before it has a kernel")
		}
		return "", errBoot
	}
	if len(args) == 0 {
		return "", fmt.Errorf("iPXE command %q needs an argument", name)
	}
	switch name {
	case "goto":
		return args[0], nil
	case "set":
		s.vars[args[0]] = strings.Join(args[1:], " ")
		return "", nil
	case "iseq":
		if len(args) != 2 || args[0] != args[1] {
			return "", errors.New("not equal")
		}
		return "", nil
	case "sleep":
		seconds, err := strconv.Atoi(args[0])
		if err != nil {
			return "", err
		}
		return "", sprout.Pause(ctx, min(time.Duration(seconds)*time.Second, s.machine.pace.retry()))
	case "kernel":
		s.kernel = kernel{url: s.absolute(args[0]), cmdline: args[1:]}
		return "", s.fetch(ctx, s.kernel.url)
	case "initrd":
		s.kernel.initrds = append(s.kernel.initrds, s.absolute(args[0]))
		return "", s.fetch(ctx, s.absolute(args[0]))
	case "chain":
		s.base = s.absolute(args[0])
		return "", errChain
	}
	return "", fmt.Errorf("there is no iPXE command %q", name)
}

func (s *script) fetch(ctx context.Context, url string) error {
	if err := s.machine.at(ctx, StepKernel, "%s", path.Base(url)); err != nil {
		return err
	}
	err := s.web.load(ctx, http.MethodGet, url, s.machine.pace.limit())
	if err != nil {
		s.machine.note(StepKernel, "cannot fetch: %v", err)
	}
	return err
}

// options drops the options of a command that change nothing here (--name and
// the like).
func options(args []string) []string {
	var plain []string
	for i, a := range args {
		if strings.HasPrefix(a, "--") && len(plain) == 0 {
			continue
		}
		if i > 0 && args[i-1] == "--name" && len(plain) == 0 {
			continue
		}
		plain = append(plain, a)
	}
	return plain
}

var variable = regexp.MustCompile(`\$\{([^}]*)\}`)

func (s *script) expand(line string) string {
	return variable.ReplaceAllStringFunc(line, func(v string) string { return s.vars[v[2:len(v)-1]] })
}

func (s *script) absolute(ref string) string {
	base, err := url.Parse(s.base)
	if err != nil {
		return ref
	}
	u, err := base.Parse(ref)
	if err != nil {
		return ref
	}
	return u.String()
}

// argument returns the value of KEY=VALUE on a kernel command line.
func argument(cmdline []string, key string) string {
	for _, word := range cmdline {
		if k, v, ok := strings.Cut(word, "="); ok && k == key {
			return v
		}
	}
	return ""
}
