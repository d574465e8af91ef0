package boot

import (
	"strings"
	"text/template"

	"sprout"
)

// A script is what the templates see.
type script struct {
	URL     string // the agent's
	MAC     string
	Intent  sprout.Intent
	Reason  string
	Cmdline string
	address func(name string) string // where a file of the ramdisk is served
}

// BootIF is the MAC as the kernel's parameter BOOTIF carries it: hardware type
// and address with hyphens. iPXE's net0 is not Linux's eth0, so no name is used.
func (s script) BootIF() string { return "01-" + strings.ReplaceAll(s.MAC, ":", "-") }

// A loading is a script of which the kernel and the initrd are in a directory.
type loading struct {
	script
	Dir string
}

// In is the script with what it loads below dir.
func (s script) In(dir string) loading { return loading{s, dir} }

// At is the path of a file that it loads by HTTP.
func (l loading) At(name string) string { return l.address(strings.TrimPrefix(l.Dir+"/"+name, "/")) }

// Script is the path of the script itself.
func (s script) Script() string { return "/boot/" + strings.TrimPrefix(s.BootIF(), "01-") + ".ipxe" }

// ramdiskScript loads kernel and initrd and boots them. After a fetch that fails the
// script is asked for again, which then may name another ramdisk; where that fails
// too, the fetch is repeated: the intent has a deadline, and the firmware has no
// better idea.
// initrd= is for UEFI, where the kernel's stub looks for the file by that name.
// A kernel that panics, as when the ramdisk's program dies, restarts the machine
// after 30 s.
var ramdiskScript = template.Must(template.New("ramdisk").Parse(`#!ipxe
echo Sprout: {{.Reason}}
echo Sprout: boot attempt {{.Intent.Attempt}}
:again
imgfree
iseq ${buildarch} arm64 && goto arm64 ||
{{template "load" (.In "")}}
:arm64
{{template "load" (.In "/arm64")}}
:failed
echo Sprout: that failed, trying again in 5 s
sleep 5
chain --replace {{.URL}}{{.Script}} || goto again
{{- define "load" -}}
kernel {{.URL}}{{.At "vmlinuz"}} initrd=initrd sprout.url={{.URL}} sprout.token={{.Intent.Token}} BOOTIF={{.BootIF}} ip=none panic=30 console=ttyS0 console=tty0{{with .Cmdline}} {{.}}{{end}} || goto failed
initrd --name initrd {{.URL}}{{.At "initrd"}} || goto failed
boot || goto failed
{{- end}}
`))

// diskScript gives the machine back to its firmware. A BIOS takes the next
// entry after any exit. UEFI would take exit 0 for an operator's wish to see the
// setup menu; after exit 1 it tries its other entries, of which the disk is one.
var diskScript = template.Must(template.New("disk").Parse(`#!ipxe
echo Sprout: {{.Reason}}
iseq ${platform} efi && goto uefi ||
exit 0
:uefi
exit 1
`))

// text renders the script of an answer.
func (a Answer) text(h *handler, r Request) (string, error) {
	t := diskScript
	if a.Action == Ramdisk {
		t = ramdiskScript
	}
	var b strings.Builder
	err := t.Execute(&b, script{h.url(r.From), r.MAC, a.Intent, plain(a.Reason), h.Cmdline, h.address})
	return b.String(), err
}

// plain keeps words from being read as commands or settings by iPXE.
func plain(words string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune("$|&;", r) {
			return '.'
		}
		return r
	}, words)
}
