package hwtest

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// mostOutput is how much of what a test says is kept, in bytes: its end.
const mostOutput = 4 << 10

// A Tail keeps the last of what is written to it. Several may write.
type Tail struct {
	mu   sync.Mutex
	kept []byte
	cut  bool
}

// Write takes all of p.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p[max(0, len(p)-mostOutput):]...)
	if more := len(t.kept) - mostOutput; more > 0 {
		t.kept, t.cut = append(t.kept[:0], t.kept[more:]...), true
	}
	t.cut = t.cut || len(p) > mostOutput
	return len(p), nil
}

// String is what was kept, as text that any store and terminal can bear.
func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := string(t.kept)
	if t.cut {
		for text != "" && !utf8.RuneStart(text[0]) {
			text = text[1:]
		}
		text = "…" + text
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return '?'
		}
		return r
	}, text)
}

// LastLine is the last line that says something.
func (t *Tail) LastLine() string {
	lines := strings.Split(strings.TrimSpace(t.String()), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
