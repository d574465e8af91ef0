package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// tellDisk prints how long the disk takes for what Sprout waits for before each
// ACK, and Kea does not: a write of 4 KiB and fdatasync, a thousand a second.
func (b *bed) tellDisk() (err error) {
	const size, writes = 1 << 20, 1000
	f, err := os.Create(filepath.Join(b.dir, "disk"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if _, err := f.Write(make([]byte, size)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	var all []float64
	for i := range writes {
		began := time.Now()
		if _, err := f.WriteAt(make([]byte, 4096), int64(i%256)*4096); err != nil {
			return err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return err
		}
		all = append(all, float64(time.Since(began).Microseconds())/1000)
		time.Sleep(time.Until(began.Add(time.Second / writes)))
	}
	slices.Sort(all)
	fmt.Printf("disk: half of the syncs within %.3f ms, 99 %% within %.3f\n", all[writes/2], all[writes*99/100])
	return nil
}
