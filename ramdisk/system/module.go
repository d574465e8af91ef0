package system

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Modules loads the driver of each device that the kernel finds. Its methods
// may be called from several goroutines.
type Modules struct {
	dir string // /lib/modules/VERSION
	log *slog.Logger

	deps  map[string][]string // file → files that it needs
	file  map[string]string   // module → file
	alias map[string][]alias  // bus → patterns

	mu     sync.Mutex
	loaded map[string]bool
	stir   chan struct{} // a device has come
}

type alias struct{ pattern, module string }

// settled is how long no device may come before all are taken as found.
const settled = 400 * time.Millisecond

// ReadModules reads what the ramdisk has for the running kernel.
func ReadModules(log *slog.Logger) (*Modules, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return nil, fmt.Errorf("cannot tell the kernel's version: %w", err)
	}
	return readModules("/lib/modules/"+unix.ByteSliceToString(u.Release[:]), log)
}

func readModules(dir string, log *slog.Logger) (*Modules, error) {
	m := &Modules{
		dir: dir, log: log, deps: map[string][]string{}, file: map[string]string{},
		alias: map[string][]alias{}, loaded: map[string]bool{}, stir: make(chan struct{}, 1),
	}
	deps, err := os.ReadFile(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return nil, fmt.Errorf("cannot read modules: %w", err)
	}
	for line := range strings.Lines(string(deps)) {
		if file, needs, ok := strings.Cut(line, ":"); ok {
			m.deps[file] = strings.Fields(needs)
			m.file[moduleName(file)] = file
		}
	}
	aliases, err := os.ReadFile(filepath.Join(dir, "modules.alias"))
	if err != nil {
		return nil, fmt.Errorf("cannot read modules: %w", err)
	}
	for line := range strings.Lines(string(aliases)) {
		if f := strings.Fields(line); len(f) == 3 {
			bus, _, _ := strings.Cut(f[1], ":")
			m.alias[bus] = append(m.alias[bus], alias{f[1], f[2]})
		}
	}
	return m, nil
}

func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".")
	return strings.ReplaceAll(name, "-", "_")
}

// Match returns the modules whose alias fits the device's.
func (m *Modules) Match(modalias string) []string {
	var names []string
	bus, _, _ := strings.Cut(modalias, ":")
	for _, a := range m.alias[bus] {
		if ok, _ := path.Match(a.pattern, modalias); ok {
			names = append(names, a.module)
		}
	}
	return names
}

// FileSystems are the modules of file systems that installed systems have. Installs
// need none of them: they are loaded when somebody is going to mount one.
var FileSystems = []string{"crc32c_generic", "ext4", "xfs", "vfat", "nls_cp437", "nls_ascii", "nls_utf8"}

// Load loads modules by name, with what they need. One that the ramdisk has
// not is left out; one that the kernel refuses is logged.
func (m *Modules) Load(names ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range names {
		file, ok := m.file[name]
		if !ok {
			continue
		}
		deps := m.deps[file]
		for i := len(deps) - 1; i >= 0; i-- { // depmod lists the farthest last
			m.insert(deps[i])
		}
		m.insert(file)
	}
}

func (m *Modules) insert(file string) {
	if m.loaded[file] {
		return
	}
	m.loaded[file] = true
	f, err := os.Open(filepath.Join(m.dir, file))
	if err == nil {
		err = unix.FinitModule(int(f.Fd()), "", 0)
		_ = f.Close()
	}
	// ENODEV: the module found that it has nothing to drive.
	if err != nil && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.ENODEV) {
		m.log.Warn("cannot load module", "module", moduleName(file), "error", err)
	}
}

// Coldplug loads the drivers of the devices that are there already.
func (m *Modules) Coldplug() {
	_ = filepath.WalkDir("/sys/devices", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "modalias" {
			if raw, err := os.ReadFile(name); err == nil {
				m.Load(m.Match(strings.TrimSpace(string(raw)))...)
			}
		}
		return nil
	})
}

// Settle waits until no device has come for a while, at most ten seconds.
func (m *Modules) Settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		t := time.NewTimer(settled)
		select {
		case <-m.stir:
			t.Stop()
		case <-t.C:
			return
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}
