package trial

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Usage is what the trial's processes hold and have used. Server, agents and
// simulated machines are one process; PostgreSQL is others.
type Usage struct {
	MemoryMB    float64 `json:"memoryMb"` // resident: server, agents and machines together
	HeapMB      float64 `json:"heapMb"`   // of it, the Go heap in use
	CPUSeconds  float64 `json:"cpuSeconds"`
	PostgresMB  float64 `json:"postgresMb"` // resident, shared pages counted once (PSS)
	PostgresCPU float64 `json:"postgresCpuSeconds"`
	Goroutines  int     `json:"goroutines"`
}

// A gauge reads usage from /proc (man 5 proc).
type gauge struct {
	tick  float64 // seconds
	reads int
	last  Usage
}

// clockTick is USER_HZ, which Linux has fixed at 100 for user space.
const clockTick = 1.0 / 100

func newGauge() (*gauge, error) {
	if _, err := os.Stat("/proc/self/statm"); err != nil {
		return nil, fmt.Errorf("cannot measure without /proc: %w", err)
	}
	return &gauge{tick: clockTick}, nil
}

// postgresEvery is how many reads share one look at PostgreSQL's memory, which
// is dear to have.
const postgresEvery = 5

func (g *gauge) read(now time.Time) (time.Time, Usage) {
	u := Usage{Goroutines: runtime.NumGoroutine(), PostgresMB: g.last.PostgresMB}
	u.MemoryMB = residentMB()
	var self syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &self) == nil {
		u.CPUSeconds = time.Duration(self.Utime.Nano() + self.Stime.Nano()).Seconds()
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	u.HeapMB = float64(mem.HeapInuse) / (1 << 20)
	g.readPostgres(&u, g.reads%postgresEvery == 0)
	g.reads++
	g.last = u
	return now, u
}

// residentMB is the resident memory of this process.
func residentMB() float64 {
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseFloat(strings.Fields(string(raw))[1], 64)
	return pages * float64(os.Getpagesize()) / (1 << 20)
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
