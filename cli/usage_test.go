package cli

import (
	"testing"

	"sprout"
)

func TestGlyph(t *testing.T) {
	for want, c := range map[byte]sprout.Cell{
		'.': {Size: 2}, 'r': {Size: 2, Reserved: 1}, 'd': {Size: 2, Dynamic: 1, Reserved: 1}, 'l': {Size: 2, Dynamic: 2, Leased: 1},
		'L': {Size: 2, Dynamic: 2, Leased: 2}, 'a': {Size: 2, Allocated: 1}, 'A': {Size: 2, Allocated: 1, Leased: 1},
	} {
		if got := glyph(c); got != want {
			t.Errorf("%+v is drawn as %c, want %c", c, got, want)
		}
	}
}
