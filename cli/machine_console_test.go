package cli

import "testing"

// What is typed goes to the machine but for the escapes, however it is cut up.
func TestKeysOfATerminal(t *testing.T) {
	for typed, want := range map[string]string{
		"ls\r~.more":  "ls\r|.",
		"~.":          "|.",
		"a~.\r":       "a~.\r|",
		"\r~~.\r":     "\r~.\r|",
		"\r~x\r":      "\r~x\r|",
		"\r~?ls\r":    "\rls\r|?",
		"~\r~.":       "~\r|.",
		"\x03\x1b[A~": "\x03\x1b[A~|",
	} {
		f := keyFilter{lineStart: true}
		var keys []byte
		var escape byte
		for i := range len(typed) {
			passed, what := f.pass([]byte{typed[i]})
			keys = append(keys, passed...)
			if what != 0 {
				escape = what
			}
			if what == '.' {
				break
			}
		}
		got := string(keys) + "|"
		if escape != 0 {
			got += string(escape)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", typed, got, want)
		}
		whole := keyFilter{lineStart: true}
		if passed, _ := whole.pass([]byte(typed)); string(passed) != string(keys) {
			t.Errorf("%q at once: %q, want %q", typed, passed, keys)
		}
	}
}
