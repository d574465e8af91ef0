// Package builtin is Sprout's own set of hardware tests, each a file in tests/
// that declares what it is, as an operator's does. Those that the ramdisk does by
// itself are short, need no other program and are harmless to data: they tell
// parts that are broken or far too slow, and run at every commissioning. The
// others are scripts, which run when they are asked for.
package builtin

import (
	"context"
	"embed"
	"slices"
	"sync"

	"sprout"
	"sprout/hwtest"
)

// A Provider is the builtin set; its zero value is ready.
type Provider struct{}

// programs are the tests that the ramdisk does by itself, by the name that
// stands behind "#!/init" in their files.
var programs = map[string]func(context.Context, hwtest.Device) ([]sprout.Metric, error){
	"cpu-arithmetic": testCPU,
	"memory-pattern": testMemory,
	"disk-read":      testDisk,
	"nic-link":       testNIC,
}

// Tests lists the tests that the ramdisk does by itself: the same for every machine.
func (Provider) Tests(sprout.Inventory) []hwtest.Test {
	var all []hwtest.Test
	for _, e := range Library() {
		if run := programs[e.Program]; run != nil {
			all = append(all, hwtest.Test{Test: e.Test, Run: run})
		}
	}
	return all
}

//go:embed tests
var files embed.FS

// Library lists every test that comes with Sprout, by name, with its executable.
func Library() []hwtest.Executable { return slices.Clone(library()) }

// library is read once: it is embedded, and never changes.
var library = sync.OnceValue(func() []hwtest.Executable {
	entries, err := files.ReadDir("tests")
	if err != nil {
		panic(err) // embedded: a defect, which any test of this package finds
	}
	var all []hwtest.Executable
	for _, e := range entries {
		content, err := files.ReadFile("tests/" + e.Name())
		if err != nil {
			panic(err)
		}
		t, err := hwtest.Parse(e.Name(), content)
		if err != nil {
			panic(e.Name() + ": " + err.Error())
		}
		t.Builtin, t.Usual = true, t.Program != ""
		all = append(all, hwtest.Executable{Test: t, Content: content})
	}
	return all
})

// megabytes is a rate in units of a million bytes a second.
func megabytes(bytes int64, seconds float64) float64 {
	return round(float64(bytes) / 1e6 / max(seconds, 1e-9))
}

// round keeps figures readable: three digits after the point.
func round(v float64) float64 { return float64(int64(v*1000+0.5)) / 1000 }
