package cli

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"
)

// A column is one column of a table; Wide ones show with -o wide only.
type column[T any] struct {
	Name  string
	Value func(T) string
	Wide  bool
	Whole bool // never cut: what does not fit goes on in the next line
}

const (
	columnGap   = 2
	columnLeast = 10 // what a column keeps of its width at least
)

// writeTable prints items in columns. On a terminal a line is no longer than it
// is wide: the widest columns give way, the first one, by which people name
// things, last. -o wide shows all, however long.
func writeTable[T any](e *env, items []T, columns []column[T]) {
	var shown []column[T]
	var head []string
	for _, c := range columns {
		if !c.Wide || e.format == "wide" {
			shown, head = append(shown, c), append(head, c.Name)
		}
	}
	rows := [][]string{head}
	for _, item := range items {
		row := make([]string, len(shown))
		for i, c := range shown {
			row[i] = dash(plainCell(c.Value(item)))
		}
		rows = append(rows, row)
	}
	room := 0
	if e.format != "wide" {
		room = e.width()
	}
	whole := make([]bool, len(shown))
	for i, c := range shown {
		whole[i] = c.Whole || i == 0
	}
	writeRows(e.stdout, rows, fitted(rows, room, whole))
}

func writeRows(w io.Writer, rows [][]string, widths []int) {
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			cell = cut(cell, widths[i])
			line.WriteString(cell)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-cellWidth(cell)+columnGap))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// fitted returns the widths of columns that are together no wider than room; 0
// is room for all. Columns that are whole keep theirs.
func fitted(rows [][]string, room int, whole []bool) []int {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], cellWidth(cell))
		}
	}
	total := columnGap * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	for room > 0 && total > room {
		widest := -1
		for i := range widths {
			if least := max(columnLeast, cellWidth(rows[0][i])); !whole[i] && widths[i] > least && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break // too narrow for a table: lines wrap
		}
		widths[widest]--
		total--
	}
	return widths
}

// width is how wide the terminal is that is written to; 0: it is none.
func (e *env) width() int {
	if e.columns > 0 {
		return e.columns
	}
	f, ok := e.stdout.(*os.File)
	if !ok {
		return 0
	}
	w, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return w
}

var (
	colours    = regexp.MustCompile("\x1b\\[[0-9;]*m")
	unprinted  = regexp.MustCompile("[\x00-\x1a\x1c-\x1f\x7f\u0080-\u009f]|\x1b[^\\[]|\x1b$|\x1b\\[[0-9;]*[^0-9;m]")
	whitespace = regexp.MustCompile(`[\t\r\n]+`)
)

// plainCell makes one line of a value, without what would move the cursor: what
// hardware says of itself is no more to be trusted than other input.
func plainCell(value string) string {
	return unprinted.ReplaceAllString(whitespace.ReplaceAllString(value, " "), "")
}

func cellWidth(cell string) int { return runewidth.StringWidth(colours.ReplaceAllString(cell, "")) }

// cut shortens a cell; one that must be shortened loses its colour.
func cut(cell string, width int) string {
	if cellWidth(cell) <= width {
		return cell
	}
	return runewidth.Truncate(colours.ReplaceAllString(cell, ""), width, "…")
}
