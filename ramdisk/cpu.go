package ramdisk

import (
	"path"
	"strings"

	"sprout"
)

// cpu returns the processors: as /proc/cpuinfo says, which on arm64 has neither
// their model nor which are of one core. Then the firmware's tables have the one
// (DSP0134 section 7.5) and the kernel's topology the other.
func (h Host) cpu() sprout.CPU {
	cpu := parseCPU(h.text("proc/cpuinfo"))
	if cpu.Model != "" {
		return cpu
	}
	if sockets, cores := h.topology(); cores > 0 {
		cpu.Sockets, cpu.Cores = sockets, cores
	}
	cpu.Model = h.processor()
	return cpu
}

// topology counts sockets and cores (Documentation/ABI/stable/sysfs-devices-system-cpu
// of Linux).
func (h Host) topology() (sockets, cores int) {
	const dir = "sys/devices/system/cpu"
	seen := [2]map[string]bool{{}, {}}
	for _, name := range h.list(dir) {
		core := h.text(path.Join(dir, name, "topology/core_id"))
		if core == "" {
			continue
		}
		socket := h.text(path.Join(dir, name, "topology/physical_package_id"))
		seen[0][socket], seen[1][socket+"/"+core] = true, true
	}
	return len(seen[0]), len(seen[1])
}

// processor is the first processor's name in the firmware's tables.
func (h Host) processor() string {
	info := h.smbios()
	if info == nil {
		return ""
	}
	all, err := info.GetProcessorInfo()
	if err != nil || len(all) == 0 {
		return ""
	}
	return strings.TrimSpace(specified(all[0].Manufacturer) + " " + specified(all[0].Version))
}

// parseCPU counts sockets, cores and threads of /proc/cpuinfo.
func parseCPU(cpuinfo string) sprout.CPU {
	var cpu sprout.CPU
	sockets, cores := map[string]bool{}, map[string]bool{}
	for block := range strings.SplitSeq(cpuinfo, "\n\n") {
		at := map[string]string{}
		for line := range strings.Lines(block) {
			if key, value, ok := strings.Cut(line, ":"); ok {
				at[strings.TrimSpace(key)] = strings.TrimSpace(value)
			}
		}
		if _, ok := at["processor"]; !ok {
			continue
		}
		cpu.Threads++
		cpu.Model = at["model name"]
		sockets[at["physical id"]] = true
		cores[at["physical id"]+"/"+at["core id"]] = true
	}
	cpu.Sockets, cpu.Cores = len(sockets), len(cores)
	return cpu
}
