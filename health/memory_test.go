package health

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"sprout"
)

// A process stays below what its cgroup, or any above it, lets it have; without
// one it takes half of the host at most.
func TestMemoryLimitFollowsTheHost(t *testing.T) {
	const meminfo = "MemFree: 1 kB\nMemTotal:  1024000 kB\n"
	for _, c := range []struct {
		name  string
		set   Memory
		files map[string]string
		want  int64
	}{
		{"nothing is known", Memory{}, nil, math.MaxInt64},
		{"no cgroup", Memory{}, map[string]string{"proc/meminfo": meminfo}, 512000 << 10},
		{"a cgroup without a limit", Memory{}, map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/system.slice/sprout\n", "sys/fs/cgroup/system.slice/sprout/memory.max": "max\n",
		}, 512000 << 10},
		{"its own limit", Memory{}, map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "100000000\n",
		}, 90000000},
		{"the limit of the slice", Memory{}, map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "1:cpu:/x\n0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "200000000\n", "sys/fs/cgroup/a/memory.max": "100000000\n",
		}, 90000000},
		{"the limit of a container", Memory{}, map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "100000000\n",
		}, 90000000},
		{"a limit above the host's memory", Memory{}, map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "9000000000\n",
		}, 512000 << 10},
		{"what was set", Memory{Limit: 100}, map[string]string{"proc/meminfo": meminfo}, 100 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			for name, text := range c.files {
				name = filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := c.set.limit(root); got != c.want {
				t.Errorf("the limit is %d, want %d", got, c.want)
			}
		})
	}
}

func TestMemoryCheck(t *testing.T) {
	for _, c := range []struct {
		set Memory
		ok  bool
	}{{Memory{}, true}, {Memory{64, 10}, true}, {Memory{63, 0}, false}, {Memory{0, 9}, false}, {Memory{-1, 0}, false}, {Memory{0, -1}, false}} {
		if err := c.set.Check(); (err == nil) != c.ok || err != nil && sprout.KindOf(err) != sprout.Invalid {
			t.Errorf("%+v: %v", c.set, err)
		}
	}
}
