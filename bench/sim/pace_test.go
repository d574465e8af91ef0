package main

import "testing"

// What follows pointers goes through all of the memory, and no cache helps it.
func TestAPieceGoesThroughAllItsMemory(t *testing.T) {
	next := newPiece().next
	seen := make([]bool, len(next))
	at := int32(0)
	for range next {
		if seen[at] {
			t.Fatalf("%d comes twice before all have been visited", at)
		}
		seen[at], at = true, next[at]
	}
}

func TestWithoutASampleNothingIsSaidOfThePace(t *testing.T) {
	if got, err := startPacer().end(); err == nil {
		t.Errorf("a trial that ended at once ran at the pace of %v", got)
	}
}
