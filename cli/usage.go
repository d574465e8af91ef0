package cli

import (
	"fmt"
	"strconv"
	"strings"

	"sprout"
)

// mapWidth is how many cells of a map are in a line.
const mapWidth = 64

// drawUsage draws a subnet: a character for each block of its addresses.
func (e *env) drawUsage(u sprout.Usage) {
	if len(u.Cells) == 0 {
		return
	}
	var drawn strings.Builder
	for i, c := range u.Cells {
		if i > 0 && i%mapWidth == 0 {
			drawn.WriteString("\n    ")
		}
		drawn.WriteByte(glyph(c))
	}
	each := "1 address"
	if u.Cells[0].Size > 1 {
		each = count(u.Cells[0].Size) + " addresses"
	}
	fmt.Fprintf(e.stdout, "  %s, %s a character: . free, r reserved, d dynamic, l leased, a allocated (L, A: all of it)\n    %s\n", u.Drawn, each, &drawn)
}

// glyph is what is drawn for a cell: what matters most in it.
func glyph(c sprout.Cell) byte {
	full := float64(c.Allocated+c.Leased) >= c.Size
	switch {
	case c.Allocated > 0 && full:
		return 'A'
	case c.Allocated > 0:
		return 'a'
	case c.Leased > 0 && full:
		return 'L'
	case c.Leased > 0:
		return 'l'
	case c.Dynamic > 0:
		return 'd'
	case c.Reserved > 0:
		return 'r'
	}
	return '.'
}

// count writes a number of addresses: of those of IPv6 how many bits they take.
func count(n float64) string {
	if n < 1<<40 {
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	return fmt.Sprintf("%.3g", n)
}
