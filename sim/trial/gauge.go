package trial

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Usage is what the trial's processes hold and have used. Server, agents and
// simulated machines are one process; PostgreSQL is others.
type Usage struct {
	MemoryMB    float64 `json:"memoryMb"` // resident: server, agents and machines together
	FilesMB     float64 `json:"filesMb"`  // of it, pages of files: the program, and the agents' stores
	HeapMB      float64 `json:"heapMb"`   // of it, the Go heap in use, garbage included
	LiveMB      float64 `json:"liveMb"`   // what of the heap lived when garbage was last collected
	StacksMB    float64 `json:"stacksMb"` // of it, the stacks of goroutines
	CPUSeconds  float64 `json:"cpuSeconds"`
	GCSeconds   float64 `json:"gcSeconds"`  // of it, the collection of garbage
	PostgresMB  float64 `json:"postgresMb"` // resident, shared pages counted once (PSS)
	PostgresCPU float64 `json:"postgresCpuSeconds"`
	Goroutines  int     `json:"goroutines"`
}

// A gauge reads usage from /proc (man 5 proc).
type gauge struct {
	tick   float64 // seconds
	looked time.Time
	took   time.Duration // to look at PostgreSQL's memory, the last time
	last   Usage
}

// clockTick is USER_HZ, which Linux has fixed at 100 for user space.
const clockTick = 1.0 / 100

func newGauge() (*gauge, error) {
	if _, err := os.Stat("/proc/self/statm"); err != nil {
		return nil, fmt.Errorf("cannot measure without /proc: %w", err)
	}
	return &gauge{tick: clockTick}, nil
}

// memoryShare is how many times as long as a look at PostgreSQL's memory took nobody
// looks again: the kernel walks over all pages of all its processes, the longer the more
// they are, and that counts as the trial's processor time.
const memoryShare = 500

func (g *gauge) read(now time.Time) Usage {
	u := Usage{Goroutines: runtime.NumGoroutine(), PostgresMB: g.last.PostgresMB}
	u.MemoryMB, u.FilesMB = residentMB()
	var self syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &self) == nil {
		u.CPUSeconds = time.Duration(self.Utime.Nano() + self.Stime.Nano()).Seconds()
	}
	readRuntime(&u)
	look := now.Sub(g.looked) > memoryShare*g.took
	began := time.Now()
	g.readPostgres(&u, look)
	if look {
		g.looked, g.took = now, time.Since(began)
	}
	g.last = u
	return u
}

// readRuntime reads what the Go runtime counts (package runtime/metrics).
func readRuntime(u *Usage) {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/cpu/classes/gc/total:cpu-seconds"},
	}
	metrics.Read(samples)
	mb := func(i int) float64 { return float64(samples[i].Value.Uint64()) / (1 << 20) }
	u.HeapMB, u.LiveMB, u.StacksMB, u.GCSeconds = mb(0)+mb(1), mb(2), mb(3), samples[4].Value.Float64()
}

// residentMB is the resident memory of this process, and what of it are pages of
// files.
func residentMB() (all, files float64) {
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, 0
	}
	mb := func(pages string) float64 {
		n, _ := strconv.ParseFloat(pages, 64)
		return n * float64(os.Getpagesize()) / (1 << 20)
	}
	fields := strings.Fields(string(raw))
	return mb(fields[1]), mb(fields[2])
}

// readPostgres adds up the processes below this one.
func (g *gauge) readPostgres(u *Usage, memory bool) {
	parents, cpu := map[int]int{}, map[int]float64{}
	dirs, _ := os.ReadDir("/proc")
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		raw, err := os.ReadFile("/proc/" + d.Name() + "/stat")
		if err != nil {
			continue
		}
		fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		parents[pid], _ = strconv.Atoi(fields[1])
		for _, at := range []int{11, 12, 13, 14} { // utime, stime, and those of children that were waited for
			ticks, _ := strconv.ParseFloat(fields[at], 64)
			cpu[pid] += ticks * g.tick
		}
	}
	if memory {
		u.PostgresMB = 0
	}
	for pid := range parents {
		if !below(pid, parents) {
			continue
		}
		u.PostgresCPU += cpu[pid]
		if memory {
			u.PostgresMB += pss(pid)
		}
	}
}

// below tells whether a process descends from this one.
func below(pid int, parents map[int]int) bool {
	for depth := 0; depth < 8 && pid > 1; depth++ {
		if pid = parents[pid]; pid == os.Getpid() {
			return true
		}
	}
	return false
}

// pss is a process's proportional set size in MB.
func pss(pid int) float64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024
		}
	}
	return 0
}
