package trial

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
)

// partLabel is the label of goroutines that says of which part they are: server,
// agents or machines.
const partLabel = "part"

// A profile tells the processor time of the parts of one process apart: a sample,
// 100 in a second of processor time, bears the labels of the goroutine at work.
// The collection of garbage has none.
type profile struct {
	raw bytes.Buffer
	on  bool // false: somebody else has the process's one profile
}

func startProfile() *profile {
	p := &profile{}
	p.on = pprof.StartCPUProfile(&p.raw) == nil
	return p
}

// end returns the seconds of each part, and writes the profile to a file unless
// its name is empty. Without a profile nothing is told apart.
func (p *profile) end(file string) (map[string]float64, error) {
	if !p.on {
		if file != "" {
			return nil, errors.New("cannot profile: this process has a profile already")
		}
		return nil, nil
	}
	pprof.StopCPUProfile()
	p.on = false
	if file != "" {
		if err := os.WriteFile(file, p.raw.Bytes(), 0o644); err != nil {
			return nil, fmt.Errorf("cannot keep the profile: %w", err)
		}
	}
	seconds, err := secondsOf(&p.raw)
	if err != nil {
		return nil, fmt.Errorf("cannot read the profile: %w", err)
	}
	return seconds, nil
}

// secondsOf adds up the samples of a CPU profile by their part. The numbers of
// fields are those of profile.proto (github.com/google/pprof).
func secondsOf(zipped io.Reader) (map[string]float64, error) {
	in, err := gzip.NewReader(zipped)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	var words []string
	var samples [][]byte
	err = fields(raw, func(field int, _ uint64, body []byte) error {
		switch field {
		case 2:
			samples = append(samples, body)
		case 6:
			words = append(words, string(body))
		}
		return nil
	})
	seconds := map[string]float64{}
	for _, s := range samples {
		part, took, bad := sampleOf(s, words)
		err = errors.Join(err, bad)
		if part != "" {
			seconds[part] += took
		}
	}
	return seconds, err
}

// sampleOf is the part of a sample, empty if it has none, and its seconds: the
// second of its values is in nanoseconds.
func sampleOf(raw []byte, words []string) (part string, seconds float64, err error) {
	var values []uint64
	err = fields(raw, func(field int, number uint64, body []byte) error {
		switch {
		case field == 2 && body == nil:
			values = append(values, number)
		case field == 2:
			for len(body) > 0 {
				v, n := binary.Uvarint(body)
				if n <= 0 {
					return errWire
				}
				values, body = append(values, v), body[n:]
			}
		case field == 3:
			var label [3]uint64 // its key and its text are numbers of words
			err := fields(body, func(field int, number uint64, _ []byte) error {
				if field == 1 || field == 2 {
					label[field] = number
				}
				return nil
			})
			if err != nil || max(label[1], label[2]) >= uint64(len(words)) {
				return errors.Join(err, errWire)
			}
			if words[label[1]] == partLabel {
				part = words[label[2]]
			}
		}
		return nil
	})
	if err == nil && len(values) < 2 {
		err = errWire
	}
	if err != nil {
		return "", 0, err
	}
	return part, float64(values[1]) / 1e9, nil
}

var errWire = errors.New("its encoding is broken")

// fields hands the fields of a message to see: a number, or the bytes of text, of
// another message or of packed numbers (protobuf.dev/programming-guides/encoding).
func fields(raw []byte, see func(field int, number uint64, body []byte) error) error {
	for len(raw) > 0 {
		key, n := binary.Uvarint(raw)
		if n <= 0 {
			return errWire
		}
		value, m := binary.Uvarint(raw[n:])
		if m <= 0 {
			return errWire
		}
		raw = raw[n+m:]
		var body []byte
		switch key & 7 {
		case 0: // a number
		case 2: // bytes, whose length was read
			if value > uint64(len(raw)) {
				return errWire
			}
			body, raw = raw[:value:value], raw[value:]
		default:
			return errWire // no profile has another
		}
		if err := see(int(key>>3), value, body); err != nil {
			return err
		}
	}
	return nil
}
