package kexec

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// debianMenu is what GRUB's scripts write on Debian 12, as far as it matters.
const debianMenu = `### BEGIN /etc/grub.d/00_header ###
if [ -s $prefix/grubenv ]; then
  load_env
fi
set default="0"
function load_video {
  insmod all_video
}
### BEGIN /etc/grub.d/10_linux ###
menuentry 'Debian GNU/Linux' --class debian --class os $menuentry_id_option 'gnulinux-simple-1' {
	load_video
	if [ x$grub_platform = xxen ]; then insmod xzio; fi
	search --no-floppy --fs-uuid --set=root 1
	echo	'Loading Linux 6.1.0-56-amd64 ...'
	linux	/boot/vmlinuz-6.1.0-56-amd64 root=UUID=1 ro console=tty0 "a b=c d" console=ttyS0
	echo	'Loading initial ramdisk ...'
	initrd	/boot/initrd.img-6.1.0-56-amd64
}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-1' {
	menuentry 'Debian GNU/Linux, with Linux 6.1.0-50-amd64' {
		linux	/boot/vmlinuz-6.1.0-50-amd64 root=UUID=1 ro single
		initrd	/boot/initrd.img-6.1.0-50-amd64
	}
}
`

func TestFind(t *testing.T) {
	debian := Entry{"/boot/vmlinuz-6.1.0-56-amd64", []string{"/boot/initrd.img-6.1.0-56-amd64"}, "root=UUID=1 ro console=tty0 a b=c d console=ttyS0"}
	for name, c := range map[string]struct {
		files map[string]string // by path; empty text: a file of something
		want  Entry
		err   string
	}{
		"Debian":            {map[string]string{"boot/grub/grub.cfg": debianMenu, "boot/vmlinuz-6.1.0-56-amd64": "", "boot/initrd.img-6.1.0-56-amd64": ""}, debian, ""},
		"a kernel is gone":  {map[string]string{"boot/grub/grub.cfg": debianMenu, "boot/initrd.img-6.1.0-56-amd64": ""}, debian, "names /boot/vmlinuz-6.1.0-56-amd64"},
		"an initrd is gone": {map[string]string{"boot/grub/grub.cfg": debianMenu, "boot/vmlinuz-6.1.0-56-amd64": ""}, debian, "names /boot/initrd.img-6.1.0-56-amd64"},
		"a /boot of its own": {map[string]string{"grub2/grub.cfg": "menuentry x {\nlinuxefi /vmlinuz quiet\ninitrdefi /a.img /b.img\n}\n", "vmlinuz": "", "a.img": "", "b.img": ""},
			Entry{"/vmlinuz", []string{"/a.img", "/b.img"}, "quiet"}, ""},
		"variables": {map[string]string{"boot/grub/grub.cfg": "menuentry x {\nlinux /vmlinuz root=$root\n}\n", "vmlinuz": ""}, Entry{}, "has variables"},
		"entries of the specification": {map[string]string{
			"boot/grub2/grub.cfg":                 "blscfg\n",
			"boot/loader/entries/a-6.9.conf":      "linux /boot/old\n",
			"boot/loader/entries/a-6.10.conf":     "title New\nlinux /boot/new\ninitrd /boot/new.img\noptions root=UUID=2\noptions quiet\n",
			"boot/loader/entries/b-0-rescue.conf": "linux /boot/old\n",
			"boot/new":                            "", "boot/new.img": "", "boot/old": "",
		}, Entry{"/boot/new", []string{"/boot/new.img"}, "root=UUID=2 quiet"}, ""},
		"an entry without a kernel": {map[string]string{"loader/entries/a.conf": "title x\n"}, Entry{}, "names no kernel"},
		"only a loader that chains": {map[string]string{"boot/grub/grub.cfg": "menuentry Windows {\nchainloader +1\n}\n"}, Entry{}, "no entry that starts a kernel"},
		"nothing":                   {map[string]string{"etc/fstab": ""}, Entry{}, "no boot loader's configuration"},
		"a way out":                 {map[string]string{"boot/grub/grub.cfg": "menuentry x {\nlinux /../../../../../../etc/passwd\n}\n"}, Entry{}, "names /../"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for path, text := range c.files {
				path = filepath.Join(dir, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if text == "" {
					text = "something"
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close() //nolint:errcheck // only read
			got, err := Find(root)
			switch {
			case c.err == "" && (err != nil || !reflect.DeepEqual(got, c.want)):
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Errorf("%+v, %v; want an error with %q", got, err, c.err)
			}
		})
	}
}

// Several initrds become one, each from a word on.
func TestInitrds(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a": "12345", "b": "6"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close() //nolint:errcheck // only read
	f, err := Entry{Initrds: []string{"/a", "/b"}}.initrd(root)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	got := make([]byte, 32)
	n, err := f.ReadAt(got, 0)
	if string(got[:n]) != "12345\x00\x00\x006\x00\x00\x00" {
		t.Errorf("%q, %v", got[:n], err)
	}
}
