package health

import (
	"bytes"
	"cmp"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"sprout"
)

// A Memory says how much memory a process may hold. Both are of the Go runtime
// (runtime/debug); what of the program's and its stores' files is mapped comes on
// top.
type Memory struct {
	Limit   int `json:"limit,omitempty" yaml:"limit,omitempty" doc:"MiB above which the process collects garbage without pause; 0: 90 % of its cgroup's limit, else half of the host's memory"`
	Garbage int `json:"garbage,omitempty" yaml:"garbage,omitempty" doc:"Garbage before it is collected, in percent of what lives; 0: 200"`
}

const (
	leastLimit     = 64 // MiB: what an agent without machines needs, and some
	leastGarbage   = 10
	defaultGarbage = 200
)

// Check refuses what would make a process only collect garbage.
func (m Memory) Check() error {
	switch {
	case m.Limit != 0 && m.Limit < leastLimit:
		return sprout.InvalidField("memory.limit", "%d MiB must be 0 or at least %d", m.Limit, leastLimit)
	case m.Garbage != 0 && m.Garbage < leastGarbage:
		return sprout.InvalidField("memory.garbage", "%d %% must be 0 or at least %d", m.Garbage, leastGarbage)
	}
	return nil
}

// Apply sets it for this process. What the environment says by GOMEMLIMIT and
// GOGC stays where the setting is zero.
func (m Memory) Apply() {
	if m.Limit != 0 || os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(m.limit("/"))
	}
	if m.Garbage != 0 || os.Getenv("GOGC") == "" {
		debug.SetGCPercent(cmp.Or(m.Garbage, defaultGarbage))
	}
}

// limit is in bytes, of the host whose files are below root.
func (m Memory) limit(root string) int64 {
	if m.Limit != 0 {
		return int64(m.Limit) << 20
	}
	host := memTotal(root)
	if most := cgroupMost(root); most < host {
		return most / 10 * 9
	}
	if host == math.MaxInt64 {
		return host
	}
	return host / 2
}

// memTotal is the host's memory in bytes (man 5 proc_meminfo); unknown: MaxInt64.
func memTotal(root string) int64 {
	raw, _ := os.ReadFile(filepath.Join(root, "proc/meminfo"))
	for line := range strings.Lines(string(raw)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "MemTotal:" {
			if kib, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				return kib << 10
			}
		}
	}
	return math.MaxInt64
}

// cgroupMost is the least limit of this process's cgroup and those above it, in
// bytes (cgroup v2: memory.max); none: MaxInt64.
func cgroupMost(root string) int64 {
	most := int64(math.MaxInt64)
	raw, _ := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	for line := range bytes.Lines(raw) {
		at, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "0::")
		for ; ok; at = filepath.Dir(at) {
			if limit, err := os.ReadFile(filepath.Join(root, "sys/fs/cgroup", at, "memory.max")); err == nil {
				if n, err := strconv.ParseInt(strings.TrimSpace(string(limit)), 10, 64); err == nil {
					most = min(most, n)
				}
			}
			ok = at != "/" && at != "."
		}
	}
	return most
}
