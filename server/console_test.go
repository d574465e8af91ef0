package server

import (
	"fmt"
	"testing"

	"sprout"
)

// What is said twice is told once, and what was lost is counted.
func TestOutputOfAConsole(t *testing.T) {
	at := int64(10) // the first ten bytes came with the answer
	for i, c := range []struct {
		one  sprout.ConsoleOutput
		want string
	}{
		{sprout.ConsoleOutput{At: 2, Data: []byte("old")}, "[]"},
		{sprout.ConsoleOutput{At: 8, Data: []byte("xxab")}, "[output ab 0]"},
		{sprout.ConsoleOutput{At: 12, Data: []byte("cd")}, "[output cd 0]"},
		{sprout.ConsoleOutput{At: 20, Data: []byte("z")}, "[lost  6 output z 0]"},
		{sprout.ConsoleOutput{At: 25, Ended: "gone"}, "[lost  4 end  0]"},
	} {
		got := []string{}
		for _, e := range tellOutput(&at, c.one) {
			got = append(got, fmt.Sprintf("%s %s %d", e.What, e.Data, e.Lost))
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%d: %v, want %s", i, got, c.want)
		}
	}
}
