package cli

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/spf13/pflag"

	"sprout"
)

// layoutFlags say what the disks of a root file system become.
type layoutFlags struct{ name, file, boot, swap, fileSystem string }

func (l *layoutFlags) add(f *pflag.FlagSet) {
	f.StringVar(&l.name, "layout", "", "what the disks become for an image of a root file system: "+strings.Join(sprout.LayoutNames(), ", "))
	f.StringVar(&l.file, "layout-file", "", "file of a layout of your own, as JSON; - reads standard input")
	f.StringVar(&l.boot, "boot", "", "with --layout: size of a /boot of its own, such as 1GiB (default none)")
	f.StringVar(&l.swap, "swap", "", "with --layout: size of the swap, such as 2GiB (default none)")
	f.StringVar(&l.fileSystem, "file-system", "", "with --layout: that of the root, ext4 or xfs (default ext4)")
}

// choice is what the flags say; nil: nothing.
func (l *layoutFlags) choice(e *env) (*sprout.LayoutChoice, error) {
	if l.file != "" {
		return l.own(e)
	}
	for flag, value := range map[string]string{"--boot": l.boot, "--swap": l.swap, "--file-system": l.fileSystem} {
		if l.name == "" && value != "" {
			return nil, sprout.InvalidField(flag, "it is of a layout, and none is named").WithRemedy("--layout plain")
		}
	}
	if l.name == "" {
		return nil, nil
	}
	c := &sprout.LayoutChoice{Name: l.name, FileSystem: sprout.LayoutUse(l.fileSystem)}
	var err error
	for _, size := range []struct {
		flag, value string
		to          *int64
	}{{"--boot", l.boot, &c.BootBytes}, {"--swap", l.swap, &c.SwapBytes}} {
		if size.value == "" {
			continue
		}
		if *size.to, err = parseSize(size.flag, size.value); err != nil {
			return nil, err
		}
	}
	_, err = c.Layout()
	return c, err
}

// own reads a layout from a file, and checks it before the server does.
func (l *layoutFlags) own(e *env) (*sprout.LayoutChoice, error) {
	if l.name+l.boot+l.swap+l.fileSystem != "" {
		return nil, sprout.InvalidField("--layout-file", "a layout of your own stands alone: --layout, --boot, --swap and --file-system are of builtin ones")
	}
	raw, err := e.readFile("--layout-file", l.file)
	if err != nil {
		return nil, err
	}
	c := &sprout.LayoutChoice{Own: &sprout.Layout{}}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(c.Own); err != nil {
		return nil, sprout.InvalidField("--layout-file", "%s is no layout: %v", l.file, err)
	}
	_, err = c.Layout()
	return c, err
}
