package builtin

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sprout"
	"sprout/hwtest"
)

const (
	memoryFor = 4 * time.Second
	// memoryPart is the share of free memory that is tested, memoryMost the
	// bound: the test takes seconds, and the ramdisk itself lives in memory.
	memoryPart = 2 // half
	memoryMost = 2 << 30
	span       = 16 << 20 // bytes between two looks at the clock
)

// A pattern is what one pass writes: word i of memory holds at(i).
type pattern struct {
	name string
	at   func(i uint64) uint64
}

// patterns find stuck and coupled bits (alternating words and their inverse, a
// walking one) and address lines that are stuck or crossed (each word its own
// number).
var patterns = []pattern{
	{"own address", func(i uint64) uint64 { return i * 0x9e3779b97f4a7c15 }},
	{"alternating", func(i uint64) uint64 { return 0x5555555555555555 ^ -(i & 1) }},
	{"inverse", func(i uint64) uint64 { return 0xaaaaaaaaaaaaaaaa ^ -(i & 1) }},
	{"walking one", func(i uint64) uint64 { return 1 << (i & 63) }},
}

// testMemory writes patterns to a share of free memory, locked so that it is
// memory, and reads them back, within seconds. It covers less of a slow machine.
func testMemory(ctx context.Context, _ hwtest.Device) ([]sprout.Metric, error) {
	size := min(freeMemory()/memoryPart, memoryMost) &^ (span - 1)
	if size < span {
		return nil, &hwtest.SkipError{Reason: fmt.Sprintf("less than %d MB of memory are free", memoryPart*span>>20)}
	}
	buf, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("cannot get %d bytes: %w", size, err)
	}
	defer func() { _ = unix.Munmap(buf) }()
	began := time.Now()
	var covered, moved int64
	for covered < size && ctx.Err() == nil && time.Since(began) < memoryFor {
		part := buf[covered : covered+span]
		_ = unix.Mlock(part) // a limit on locked memory leaves it merely untouched by others
		n, err := patternsOver(part)
		moved += n
		if err != nil {
			return nil, fmt.Errorf("byte %d of %d: %w", covered, size, err)
		}
		covered += span
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	seconds := time.Since(began).Seconds()
	return []sprout.Metric{
		{Name: "tested", Value: float64(covered >> 20), Unit: "MiB"},
		{Name: "throughput", Value: megabytes(moved, seconds), Unit: "MB/s"},
	}, nil
}

// patternsOver runs every pattern over part and returns how many bytes it wrote
// and read.
func patternsOver(part []byte) (moved int64, err error) {
	words := unsafe.Slice((*uint64)(unsafe.Pointer(&part[0])), len(part)/8)
	for _, p := range patterns {
		for i := range words {
			words[i] = p.at(uint64(i))
		}
		for i := range words {
			if want := p.at(uint64(i)); words[i] != want {
				return moved, fmt.Errorf("pattern %q: wrote %016x, read %016x (bits %016x) at word %d", p.name, want, words[i], want^words[i], i)
			}
		}
		moved += 2 * int64(len(part))
	}
	return moved, nil
}

func freeMemory() int64 {
	raw, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemAvailable:" {
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}
