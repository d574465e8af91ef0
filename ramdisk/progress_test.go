package ramdisk

import (
	"testing"
	"time"
)

func TestStalledWorkStillSpeaks(t *testing.T) {
	var p progress
	p.set(10, 100, "B")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if _, ok := p.news(at); !ok {
		t.Fatal("first progress was not news")
	}
	if _, ok := p.news(at.Add(progressEvery)); ok {
		t.Error("unchanged progress was news at once")
	}
	latest, ok := p.news(at.Add(aliveEvery))
	if !ok || latest.Done != 10 {
		t.Errorf("after %s of silence: %+v, %v; want the same progress again", aliveEvery, latest, ok)
	}
}
