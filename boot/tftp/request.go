package tftp

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The opcodes of RFC 1350 section 5 and RFC 2347.
const (
	opRead  = 1
	opWrite = 2
	opData  = 3
	opAck   = 4
	opError = 5
	opOACK  = 6
)

// The error codes of RFC 1350 and RFC 2347.
const (
	errUndefined   = 0
	errNotFound    = 1
	errAccess      = 2
	errIllegal     = 4
	errUnwanted    = 8 // "terminated due to option negotiation": also how firmware ends a question for the size
	maxWindow      = 64
	defaultBlock   = 512
	minBlock       = 8     // RFC 2348
	maxBlock       = 65464 // RFC 2348
	defaultTimeout = time.Second
)

// A request is a read request and what was agreed about it.
type request struct {
	file    string
	block   int // bytes
	window  int // blocks
	timeout time.Duration
	options []string // name, value, … as acknowledged, but for tsize's value
	tsize   bool
}

// A refusal is an error packet.
type refusal struct {
	code uint16
	text string
}

// parse reads a request; refused says what to answer where it cannot be
// served. Options that are unknown or out of bounds are left out, so the client
// does without (RFC 2347).
func parse(packet []byte) (r request, refused *refusal) {
	fields, ok := split(packet)
	switch {
	case !ok:
		return r, &refusal{errIllegal, "malformed request"}
	case packet[1] == opWrite:
		return r, &refusal{errAccess, "read-only"}
	case packet[1] != opRead:
		return r, &refusal{errIllegal, "not a request"}
	case !strings.EqualFold(fields[1], "octet"):
		return r, &refusal{errIllegal, "only mode octet is served"}
	}
	r = request{file: strings.TrimLeft(fields[0], "/"), block: defaultBlock, window: 1, timeout: defaultTimeout}
	for options := fields[2:]; len(options) >= 2; options = options[2:] {
		r.agree(strings.ToLower(options[0]), options[1])
	}
	return r, nil
}

// agree takes one option.
func (r *request) agree(name, value string) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || slices.Contains(r.options, name) { // RFC 2347: each at most once
		return
	}
	switch {
	case name == "blksize" && n >= minBlock: // RFC 2348: the server may take less
		r.block = min(n, maxBlock)
		r.options = append(r.options, name, strconv.Itoa(r.block))
	case name == "windowsize" && n >= 1: // RFC 7440: as well
		r.window = min(n, maxWindow)
		r.options = append(r.options, name, strconv.Itoa(r.window))
	case name == "timeout" && n >= 1 && n <= 255: // RFC 2349: as it is, or not at all
		r.timeout = time.Duration(n) * time.Second
		r.options = append(r.options, name, value)
	case name == "tsize" && !r.tsize:
		r.tsize = true
	}
}

// oack is the acknowledgement of the options; nil: there were none.
func (r *request) oack(size int64) []byte {
	if len(r.options) == 0 && !r.tsize {
		return nil
	}
	b := []byte{0, opOACK}
	for _, word := range r.options {
		b = append(append(b, word...), 0)
	}
	if r.tsize {
		b = append(b, "tsize\x00"...)
		b = append(strconv.AppendInt(b, size, 10), 0)
	}
	return b
}

// split cuts a request into its strings, at least two of them.
func split(packet []byte) ([]string, bool) {
	if len(packet) < 4 || packet[0] != 0 || packet[len(packet)-1] != 0 {
		return nil, false
	}
	var fields []string
	for rest := packet[2:]; len(rest) > 0; {
		word, tail, _ := bytes.Cut(rest, []byte{0})
		fields = append(fields, string(word))
		rest = tail
	}
	return fields, len(fields) >= 2
}

// packet writes the refusal.
func (r *refusal) packet() []byte {
	b := []byte{0, opError, byte(r.code >> 8), byte(r.code)}
	return append(append(b, r.text...), 0)
}
