package agent

import (
	"strings"
	"unicode/utf8"
)

// longestSaid is how many bytes of a line are kept.
const longestSaid = 240

// A lineReader makes lines of what a serial console says, without what moves a
// terminal's cursor or colours it (ECMA-48). The zero value is ready.
type lineReader struct {
	line  []byte
	state escape
}

// An escape is where in a control sequence the reader is.
type escape int

const (
	plain   escape = iota
	escaped        // after ESC
	control        // in a control sequence, to its final byte
	command        // in a control string, to BEL or ESC \
)

// read returns the lines that data brings to an end.
func (r *lineReader) read(data []byte) (lines []string) {
	for _, b := range data {
		switch r.state {
		case escaped:
			r.state = map[byte]escape{'[': control, ']': command, 'P': command, '^': command, '_': command}[b]
			if b == 'E' || b == 'D' { // next line
				lines = r.end(lines)
			}
			continue
		case control:
			if b >= 0x40 && b <= 0x7e {
				r.state = plain
			}
			if b == 'H' || b == 'f' { // a screen is drawn: what follows is elsewhere
				lines = r.end(lines)
			}
			continue
		case command:
			if b == 0x07 {
				r.state = plain
			} else if b == 0x1b {
				r.state = escaped
			}
			continue
		case plain:
		}
		switch {
		case b == 0x1b:
			r.state = escaped
		case b == '\n' || b == '\r':
			lines = r.end(lines)
		case b == '\b' && len(r.line) > 0:
			_, size := utf8.DecodeLastRune(r.line)
			r.line = r.line[:len(r.line)-size]
		case b == '\t':
			r.add(' ')
		case b >= ' ' && b != 0x7f:
			r.add(b)
		}
	}
	return lines
}

func (r *lineReader) add(b byte) {
	if len(r.line) < longestSaid {
		r.line = append(r.line, b)
	}
}

func (r *lineReader) end(lines []string) []string {
	if text := r.rest(); text != "" {
		lines = append(lines, text)
	}
	return lines
}

// rest returns the line that has not ended, and begins another.
func (r *lineReader) rest() string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(r.line), "?"))
	r.line = r.line[:0]
	return text
}
