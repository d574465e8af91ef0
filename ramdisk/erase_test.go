package ramdisk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sprout"
)

// A fakeDisk is a file with a controller that does what specifications say, and
// keeps every frame.
type fakeDisk struct {
	mu     sync.Mutex
	file   string
	frames []string

	// NVMe
	oacs     uint16
	sanicap  uint32
	fpi      byte
	leaves   byte // what an erased block reads as
	liar     bool // it says it erased, and did not
	sanitize uint16
	looks    int // at the sanitize that runs, until it ends

	// ATA
	status   uint16 // word 128
	password string
	prepared bool
	broken   bool // erasing fails
}

func (d *fakeDisk) said(format string, args ...any) {
	d.frames = append(d.frames, fmt.Sprintf(format, args...))
}

func (d *fakeDisk) wipe() {
	if d.liar {
		return
	}
	info, err := os.Stat(d.file)
	if err == nil {
		err = os.WriteFile(d.file, bytes.Repeat([]byte{d.leaves}, int(info.Size())), 0o600)
	}
	if err != nil {
		panic(err)
	}
}

func (d *fakeDisk) namespace() (uint32, error) { return 7, nil }

func (d *fakeDisk) nvme(c nvmeCommand, data []byte, _ time.Duration) (uint32, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.said("%02x %x %08x", c.opcode, c.nsid, c.cdw10)
	switch {
	case c.opcode == nvmeIdentify && c.cdw10 == identifyController:
		binary.LittleEndian.PutUint16(data[256:], d.oacs)
		binary.LittleEndian.PutUint32(data[328:], d.sanicap)
	case c.opcode == nvmeIdentify:
		data[26], data[29], data[32], data[33] = 0b0101_0010, 0b1001, d.fpi, 1
	case c.opcode == nvmeGetLogPage:
		if d.sanitize == sanitizeRuns {
			if d.looks--; d.looks == 0 {
				d.sanitize = sanitizeWell
				d.wipe()
			}
		}
		binary.LittleEndian.PutUint16(data, 1<<15)
		binary.LittleEndian.PutUint16(data[2:], d.sanitize)
		binary.LittleEndian.PutUint32(data[12:], 90)
	case c.opcode == nvmeSanitize:
		if d.broken {
			return 0, nvmeStatus(0x1d)
		}
		d.sanitize, d.looks = sanitizeRuns, 2
	case c.opcode == nvmeFormat:
		d.wipe()
	}
	return 0, nil
}

func (d *fakeDisk) ata(c ataCommand, data []byte, _ time.Duration) error {
	d.said("% x", c.cdb())
	given := ""
	if c.data && !c.in {
		given = string(bytes.TrimRight(data[2:34], "\x00"))
	}
	refused := errors.New("the disk refused")
	switch c {
	case ataIdentify:
		word := func(n int, v uint16) { binary.LittleEndian.PutUint16(data[2*n:], v) }
		word(82, 1<<1)
		word(89, 17)
		word(128, d.status|1)
		word(69, 1<<14|1<<5)
		word(169, 1)
	case ataSetPassword:
		d.password, d.status = given, d.status|1<<1
	case ataUnlock:
		if given != d.password {
			return refused
		}
		d.status &^= 1 << 2
	case ataErasePrepare:
		d.prepared = true
	case ataEraseUnit:
		if !d.prepared || given != d.password || d.broken {
			return refused
		}
		d.wipe()
		d.status &^= 1 << 1
	case ataDisablePassword:
		if given != d.password {
			return refused
		}
		d.status &^= 1 << 1
	}
	if c != ataErasePrepare {
		d.prepared = false
	}
	return nil
}

// erases has an eraser erase the disk, and returns the frames that it took.
func erases(t *testing.T, d *fakeDisk, says sprout.DiskErase, order sprout.Erase) ([]sprout.Erased, []string, error) {
	t.Helper()
	dir := t.TempDir()
	d.file = filepath.Join(dir, "d")
	if err := os.WriteFile(d.file, []byte(strings.Repeat("old data", 1<<17)), 0o600); err != nil {
		t.Fatal(err)
	}
	e := &eraser{order: order, dev: dir, open: func(*os.File) controller { return d }, look: time.Millisecond, progress: &progress{}, log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	proofs, err := e.erase(t.Context(), []sprout.Disk{{Name: "d", Serial: "S", Bytes: 1 << 20, Erase: says}})
	left, readErr := os.ReadFile(d.file)
	if readErr != nil {
		t.Fatal(readErr)
	}
	if bytes.Contains(left, []byte("old")) == (err == nil) {
		t.Errorf("old data is left: %v; the eraser says: %v", bytes.Contains(left, []byte("old")), err)
	}
	return proofs, d.frames, err
}

func TestNVMeIsErasedBySanitizeOrFormat(t *testing.T) {
	const format = "80 7 00002332" // LBAF 34 (LBAFL 2, LBAFU 2), extended metadata, PI 1 at the start, user data erase
	for _, c := range []struct {
		name   string
		disk   *fakeDisk
		method sprout.EraseMethod
		frames []string // of what changes something, in order
	}{
		{"block erase", &fakeDisk{sanicap: 1<<1 | 1<<2}, sprout.EraseSanitize, []string{"84 0 00000002"}},
		{"sanitized by overwriting", &fakeDisk{sanicap: 1 << 2}, sprout.EraseSanitize, []string{"84 0 00000013"}},
		{"a sanitize runs already", &fakeDisk{sanicap: 1 << 1, sanitize: sanitizeRuns, looks: 3}, sprout.EraseSanitize, []string{"84 0 00000002"}},
		{"blank flash reads as ones", &fakeDisk{sanicap: 1 << 1, leaves: 0xff}, sprout.EraseSanitize, []string{"84 0 00000002"}},
		{"format", &fakeDisk{oacs: 1 << 1}, sprout.EraseFormat, []string{format}},
		{"sanitize is refused", &fakeDisk{oacs: 1 << 1, sanicap: 1 << 1, broken: true}, sprout.EraseFormat, []string{"84 0 00000002", format}},
		{"it lies", &fakeDisk{oacs: 1 << 1, sanicap: 1 << 1, liar: true}, sprout.EraseZeroes, []string{"84 0 00000002", format}},
		{"noise is no proof", &fakeDisk{oacs: 1 << 1, leaves: 0x5a}, sprout.EraseZeroes, []string{format}},
		{"crypto erase alone is passed", &fakeDisk{sanicap: 1}, sprout.EraseZeroes, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			says := nvmeErasable(c.disk, 0)
			if says.Sanitize && says.SanitizeSeconds != 90 && c.disk.sanicap&2 != 0 || !says.DiscardZeroes {
				t.Errorf("it is read as %+v", says)
			}
			c.disk.frames = nil
			proofs, frames, err := erases(t, c.disk, says, sprout.Erase{})
			if err != nil || len(proofs) != 1 || proofs[0].Method != c.method || proofs[0].Verified != 1<<20 {
				t.Fatalf("erased: %+v, %v", proofs, err)
			}
			var changing []string
			for _, f := range frames {
				if strings.HasPrefix(f, "8") {
					changing = append(changing, f)
				}
			}
			if !slices.Equal(changing, c.frames) {
				t.Errorf("frames are %q, want %q", changing, c.frames)
			}
		})
	}
}

func TestATAIsErasedSecurely(t *testing.T) {
	const (
		ask     = "85 08 0e 00 00 00 01 00 00 00 00 00 00 00 ec 00"
		set     = "85 0a 06 00 00 00 01 00 00 00 00 00 00 00 f1 00"
		unlock  = "85 0a 06 00 00 00 01 00 00 00 00 00 00 00 f2 00"
		prepare = "85 06 00 00 00 00 00 00 00 00 00 00 00 00 f3 00"
		erase   = "85 0a 06 00 00 00 01 00 00 00 00 00 00 00 f4 00"
		disable = "85 0a 06 00 00 00 01 00 00 00 00 00 00 00 f6 00"
	)
	for _, c := range []struct {
		name   string
		disk   *fakeDisk
		only   sprout.EraseMethod
		frames []string
		method sprout.EraseMethod // that did it; empty: none
		locked bool               // with a password in the end
	}{
		{"it erases", &fakeDisk{}, "", []string{ask, set, prepare, erase}, sprout.EraseATA, false},
		{"power was lost midway", &fakeDisk{password: ataPassword, status: 1<<1 | 1<<2}, "", []string{ask, unlock, prepare, erase}, sprout.EraseATA, false},
		{"it cannot", &fakeDisk{broken: true}, "", []string{ask, set, prepare, erase, disable}, sprout.EraseDiscard, false},
		{"it lies", &fakeDisk{liar: true}, "", []string{ask, set, prepare, erase}, sprout.EraseDiscard, false},
		{"somebody else's password", &fakeDisk{password: "hunter2", status: 1<<1 | 1<<2}, sprout.EraseATA, []string{ask, unlock}, "", true},
		{"frozen, and asked for", &fakeDisk{status: 1 << 3}, sprout.EraseATA, nil, "", false},
		{"frozen", &fakeDisk{status: 1 << 3}, "", nil, sprout.EraseDiscard, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			says := ataErasable(c.disk)
			if !says.Security || says.SecuritySeconds != 17*120 || !says.DiscardZeroes || says.Frozen != (c.disk.status&(1<<3) != 0) {
				t.Errorf("it is read as %+v", says)
			}
			says.Discard = true
			c.disk.frames = nil
			proofs, frames, err := erases(t, c.disk, says, sprout.Erase{Method: c.only})
			if c.method == "" {
				if f := asFailure(err); f.Code != sprout.EraseFailed || len(proofs) != 0 {
					t.Errorf("erased: %+v, %v", proofs, err)
				}
			} else if err != nil || len(proofs) != 1 || proofs[0].Method != c.method && proofs[0].Method != sprout.EraseZeroes {
				// The disk is a file here, which takes no discards: zeroes come next.
				t.Errorf("erased: %+v, %v", proofs, err)
			}
			if !slices.Equal(frames, c.frames) {
				t.Errorf("frames are %q, want %q", frames, c.frames)
			}
			if has := c.disk.status&(1<<1) != 0; has != c.locked {
				t.Errorf("it has a password in the end: %v", has)
			}
		})
	}
}

func TestEraseTimesOfATA(t *testing.T) {
	for word, want := range map[uint16]int64{0: 0, 17: 2040, 0xff: 0, 0x8000 | 300: 36000, 0xffff: 0} {
		if got := ataEraseTime(word); got != want {
			t.Errorf("word 89 of %#x is %d s, want %d", word, got, want)
		}
	}
}

func TestADiskThatCannotBeErasedKeepsNoOtherFromIt(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat("old data", 1<<10)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e := &eraser{dev: dir, open: func(*os.File) controller { return &fakeDisk{} }, progress: &progress{}, log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	proofs, err := e.erase(t.Context(), []sprout.Disk{
		{Name: "a", Bytes: 8 << 10, ReadOnly: true}, {Name: "gone", Bytes: 8 << 10}, {Name: "usb", Removable: true}, {Name: "b", Bytes: 8 << 10},
	})
	f := asFailure(err)
	if f.Code != sprout.EraseFailed || f.Reason != "a, gone could not be erased" || !strings.Contains(f.Evidence, "is read-only") || !strings.Contains(f.Evidence, "cannot be opened") {
		t.Errorf("it fails with %+v", f)
	}
	if len(proofs) != 1 || proofs[0].Disk.Name != "b" {
		t.Errorf("erased: %+v", proofs)
	}
}
