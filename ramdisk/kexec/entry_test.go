package kexec

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// made is a configuration as grub-mkconfig makes it: conditions, functions and menus
// beside the entries.
const made = `
if [ -s $prefix/grubenv ]; then
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   save_env next_entry
else
   set default="0"
fi
function load_video {
  insmod all_video
}
# linux /boot/no-kernel is a remark
menuentry 'Debian GNU/Linux' --class debian --class os $menuentry_id_option 'gnulinux-simple-1234' {
	load_video
	if [ x$grub_platform = xxen ]; then insmod xzio; fi
	search --no-floppy --fs-uuid --set=root 1234
	echo	'Loading Linux 6.1.0-18-amd64 ...'
	linux	/boot/vmlinuz-6.1.0-18-amd64 root=UUID=1234 ro  console=ttyS0,115200 "dyndbg=file a.c +p"
	initrd	/boot/ucode.img /boot/initrd.img-6.1.0-18-amd64
}
submenu 'Advanced options' $menuentry_id_option 'gnulinux-advanced-1234' {
	menuentry 'Debian GNU/Linux, recovery' {
		linux	/boot/vmlinuz-6.1.0-18-amd64 root=UUID=1234 ro single
	}
}
`

// own is that of an image of Sprout's (image/debian): the kernel behind a link.
const own = `set timeout=0
search --no-floppy --fs-uuid --set=root 1234
menuentry "Debian" {
	linux /vmlinuz root=UUID=1234 ro rootfstype=ext4 console=tty0 console=ttyS0,115200 loglevel=5
	initrd /initrd.img
}
`

// tree makes a file system: a file whose text begins with -> is a symbolic link.
func tree(t *testing.T, files map[string]string) *os.Root {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(name), 0o755)
		if to, link := strings.CutPrefix(text, "->"); err == nil && link {
			err = os.Symlink(to, name)
		} else if err == nil {
			err = os.WriteFile(name, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root
}

func TestFind(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  Entry
	}{
		"an image of Sprout's": {
			map[string]string{
				"boot/grub/grub.cfg": own, "vmlinuz": "->boot/vmlinuz-6.1.0", "initrd.img": "->boot/initrd.img-6.1.0",
				"boot/vmlinuz-6.1.0": "kernel", "boot/initrd.img-6.1.0": "initrd",
			},
			Entry{"/vmlinuz", []string{"/initrd.img"}, "root=UUID=1234 ro rootfstype=ext4 console=tty0 console=ttyS0,115200 loglevel=5"},
		},
		"grub-mkconfig's": {
			map[string]string{"boot/grub/grub.cfg": made, "boot/vmlinuz-6.1.0-18-amd64": "kernel", "boot/initrd.img-6.1.0-18-amd64": "initrd", "boot/ucode.img": "microcode"},
			Entry{"/boot/vmlinuz-6.1.0-18-amd64", []string{"/boot/ucode.img", "/boot/initrd.img-6.1.0-18-amd64"}, `root=UUID=1234 ro console=ttyS0,115200 "dyndbg=file a.c +p"`},
		},
		"a /boot of its own, no initrd": {
			map[string]string{"grub2/grub.cfg": "menuentry a {\nlinux16 /vmlinuz root=/dev/vda3\n}\n", "vmlinuz": "kernel"},
			Entry{"/vmlinuz", nil, "root=/dev/vda3"},
		},
		"the newest of the Boot Loader Specification": {
			map[string]string{
				"boot/grub2/grub.cfg":                 "set default=\"${saved_entry}\"\ninsmod blscfg\nblscfg\n",
				"boot/loader/entries/m-6.9.0.conf":    "title old\nlinux /boot/vmlinuz-6.9.0\ninitrd /boot/initrd-6.9.0\noptions root=UUID=1 ro\n",
				"boot/loader/entries/m-6.10.0.conf":   "title new\nlinux /boot/vmlinuz-6.10.0\ninitrd /boot/initrd-6.10.0\noptions root=UUID=1 ro\noptions quiet\n",
				"boot/loader/entries/m-9-rescue.conf": "title rescue\nlinux /boot/vmlinuz-6.9.0\noptions single\n",
				"boot/loader/entries/README":          "no entry",
				"boot/vmlinuz-6.9.0":                  "kernel", "boot/initrd-6.9.0": "initrd", "boot/vmlinuz-6.10.0": "kernel", "boot/initrd-6.10.0": "initrd",
			},
			Entry{"/boot/vmlinuz-6.10.0", []string{"/boot/initrd-6.10.0"}, "root=UUID=1 ro quiet"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Find(tree(t, c.files))
			if err != nil {
				t.Fatal(err)
			}
			if got.Kernel != c.want.Kernel || got.Cmdline != c.want.Cmdline || !slices.Equal(got.Initrds, c.want.Initrds) {
				t.Errorf("found %+v, want %+v", got, c.want)
			}
		})
	}
}

// TestFindSaysWhyNot holds it to a reason where it must leave the start to the
// firmware: no kernel is better than another one than the boot loader's.
func TestFindSaysWhyNot(t *testing.T) {
	entry := func(linux string) string { return "menuentry a {\n" + linux + "\ninitrd /initrd\n}\n" }
	for name, c := range map[string]struct {
		files map[string]string
		why   string
	}{
		"no loader":           {map[string]string{"boot/vmlinuz": "kernel"}, errNone.Error()},
		"no entry":            {map[string]string{"boot/grub/grub.cfg": "set timeout=0\nconfigfile /other\n"}, "no entry that starts a kernel"},
		"variables":           {map[string]string{"boot/grub/grub.cfg": entry("linux /vmlinuz $extra"), "vmlinuz": "k", "initrd": "i"}, "variables"},
		"no such kernel":      {map[string]string{"boot/grub/grub.cfg": entry("linux /vmlinuz ro"), "initrd": "i"}, "/vmlinuz"},
		"no such initrd":      {map[string]string{"boot/grub/grub.cfg": entry("linux /vmlinuz ro"), "vmlinuz": "k"}, "/initrd"},
		"an empty kernel":     {map[string]string{"boot/grub/grub.cfg": entry("linux /vmlinuz ro"), "vmlinuz": "", "initrd": "i"}, "empty"},
		"a link out of it":    {map[string]string{"boot/grub/grub.cfg": entry("linux /vmlinuz ro"), "vmlinuz": "->../../../../etc/hostname", "initrd": "i"}, "/vmlinuz"},
		"another default":     {map[string]string{"boot/grub/grub.cfg": "set default=1\n" + entry("linux /vmlinuz ro"), "vmlinuz": "k", "initrd": "i"}, `default is "1"`},
		"a default by name":   {map[string]string{"boot/grub/grub.cfg": "set default=\"Debian, old\"\n" + entry("linux /vmlinuz ro"), "vmlinuz": "k", "initrd": "i"}, "Debian, old"},
		"an entry of nothing": {map[string]string{"loader/entries/a.conf": "title a\nefi /a.efi\n"}, "names no kernel"},
		"BLS with variables":  {map[string]string{"loader/entries/a.conf": "linux /vmlinuz\noptions ro $tuned_params\n", "vmlinuz": "k"}, "variables"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Find(tree(t, c.files))
			if err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("found %+v, %v; want %q", got, err, c.why)
			}
			if errors.Is(err, errNone) != (name == "no loader") {
				t.Errorf("%v: the next partition would be looked into: %v", err, errors.Is(err, errNone))
			}
		})
	}
}

// FuzzGRUB holds the reader of boot loaders' scripts to an error or an
// entry, whatever an image has there.
func FuzzGRUB(f *testing.F) {
	for _, text := range []string{made, own, "menuentry 'a\nlinux \\", "linux /a\ninitrd", "set default", "set default="} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if e, err := parseGRUB(text); err == nil && (e.Kernel == "" || strings.ContainsAny(e.Cmdline, "\n$")) {
			t.Errorf("%q: %+v", text, e)
		}
	})
}

func TestCompareVersions(t *testing.T) {
	want := []string{"a-5.14.0", "a-6.1.0-9", "a-6.1.0-18", "a-6.9.0", "a-6.10.0", "a-06.11", "b-1"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, compareVersions)
	if !slices.Equal(got, want) {
		t.Errorf("sorted %q", got)
	}
}
