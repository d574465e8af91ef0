package sitestore

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// A journal makes records durable by one write and one sync for many, in two
// files that take turns: while one takes what is new, what the other holds goes
// to its final place. The files keep their size, so that a sync writes no
// metadata.
type journal struct {
	files [2]*os.File
	into  int   // which of files takes records
	at    int64 // where the next goes in it
	seq   uint64
	buf   []byte
}

// A record is what is durable as a whole or not at all. Numbers only grow.
type record struct {
	seq  uint64
	body []byte
}

const (
	journalSize   = 1 << 20
	recordHead    = 16 // length and CRC-32C of what follows, each 4 bytes; then the number
	maxRecordSize = 1 << 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openJournal opens the files, which it makes where they are missing, and
// returns the records that are in them, by number.
func openJournal(path string) (j *journal, found []record, err error) {
	j = &journal{}
	for i := range j.files {
		if j.files[i], err = openSized(fmt.Sprintf("%s.leases-%d", path, i)); err != nil {
			return nil, nil, errors.Join(err, j.close())
		}
		records, err := recordsOf(j.files[i])
		if err != nil {
			return nil, nil, errors.Join(err, j.close())
		}
		found = append(found, records...)
	}
	slices.SortFunc(found, func(a, b record) int { return cmp.Compare(a.seq, b.seq) })
	if len(found) > 0 {
		j.seq = found[len(found)-1].seq
	}
	return j, found, nil
}

// openSized opens a file of at least the journal's size.
func openSized(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return f, err
	}
	if missing := journalSize - info.Size(); missing > 0 {
		if _, err := f.WriteAt(make([]byte, missing), info.Size()); err != nil {
			return f, err
		}
		return f, errors.Join(f.Sync(), syncDir(filepath.Dir(path)))
	}
	return f, nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// recordsOf reads a file's records: up to one that was not wholly written, or
// that is left from an earlier turn.
func recordsOf(f *os.File) (all []record, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	raw := make([]byte, info.Size())
	if _, err := f.ReadAt(raw, 0); err != nil {
		return nil, err
	}
	for len(raw) >= recordHead {
		n := binary.BigEndian.Uint32(raw)
		if n < 8 || n > maxRecordSize || int(n)+8 > len(raw) || crc32.Checksum(raw[8:8+n], castagnoli) != binary.BigEndian.Uint32(raw[4:]) {
			break
		}
		r := record{binary.BigEndian.Uint64(raw[8:]), raw[recordHead : 8+n]}
		if len(all) > 0 && r.seq <= all[len(all)-1].seq {
			break
		}
		all, raw = append(all, r), raw[8+n:]
	}
	return all, nil
}

// add puts a record into what the next commit writes, and returns its number.
func (j *journal) add(body []byte) uint64 {
	j.seq++
	head := len(j.buf)
	j.buf = append(j.buf, make([]byte, recordHead)...)
	j.buf = append(j.buf, body...)
	b := j.buf[head:]
	binary.BigEndian.PutUint64(b[8:], j.seq)
	binary.BigEndian.PutUint32(b, uint32(8+len(body)))
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
	return j.seq
}

// forget takes back what was added since the last commit.
func (j *journal) forget() { j.buf = j.buf[:0] }

// commit returns once what was added is on disk. After an error none of it
// counts: the next commit writes over it, and with higher numbers than what may
// be left of it.
func (j *journal) commit() error {
	f := j.files[j.into]
	n, err := f.WriteAt(j.buf, j.at)
	j.forget()
	if err == nil {
		err = unix.Fdatasync(int(f.Fd()))
	}
	if err != nil {
		return err
	}
	j.at += int64(n)
	return nil
}

// turn has the other file take what comes next. What that holds is over: the
// caller has brought it to its final place.
func (j *journal) turn() { j.into, j.at = 1-j.into, 0 }

func (j *journal) close() (err error) {
	for _, f := range j.files {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}
