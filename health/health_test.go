package health

import (
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"sprout"
)

func TestTroublesSayWhenTheyChange(t *testing.T) {
	set := &Troubles{Log: slog.New(slog.DiscardHandler)}
	_, changed := set.List()
	set.Set(sprout.ClockWrong, "", "") // it was not wrong
	select {
	case <-changed:
		t.Fatal("a trouble that never was is news")
	default:
	}
	set.Set(sprout.DiskFull, "the disk is full", "1 MiB")
	<-changed
	list, changed := set.List()
	if len(list) != 1 || list[0].Code != sprout.DiskFull || list[0].Since.IsZero() {
		t.Fatalf("%+v", list)
	}
	since := list[0].Since
	set.Set(sprout.DiskFull, "the disk is full", "1 MiB")
	select {
	case <-changed:
		t.Fatal("the same again is news")
	default:
	}
	set.Set(sprout.DiskFull, "the disk is full", "0 MiB")
	<-changed
	if list, _ = set.List(); list[0].Evidence != "0 MiB" || !list[0].Since.Equal(since) {
		t.Errorf("brought up to date: %+v", list)
	}
	set.Set(sprout.DiskFull, "", "")
	if list, _ = set.List(); len(list) != 0 {
		t.Errorf("over, and still there: %+v", list)
	}
}

func TestADiskIsFullUntilThereIsRoomAgain(t *testing.T) {
	set := &Troubles{Log: slog.New(slog.DiscardHandler)}
	dir := t.TempDir()
	if err := set.Disk(dir, math.MaxUint64/2, "nothing can be kept"); err != nil { // no disk has so much
		t.Fatal(err)
	}
	list, _ := set.List()
	if len(list) != 1 || !strings.Contains(list[0].Reason, "nothing can be kept") || !strings.Contains(list[0].Evidence, dir) {
		t.Fatalf("%+v", list)
	}
	if err := set.Disk(dir, 1, "nothing can be kept"); err != nil {
		t.Fatal(err)
	}
	if list, _ = set.List(); len(list) != 0 {
		t.Errorf("there is room, and still: %+v", list)
	}
	if set.Disk(dir+"/none", 1, "") == nil {
		t.Error("a directory that is not there has room")
	}
}

func TestAClockDoesNotJump(t *testing.T) {
	wall, ran := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), time.Duration(0)
	c := ClockOf(func() time.Time { return wall }, func() time.Duration { return ran })
	pass := func(d time.Duration) { wall, ran = wall.Add(d), ran+d }
	pass(time.Minute)
	if c.Ahead() != 0 || !c.Now().Equal(wall) {
		t.Fatalf("a minute later it is %s, not %s", c.Now(), wall)
	}
	before := c.Now()
	wall = wall.Add(24 * time.Hour)
	if !c.Now().Equal(before) || c.Ahead() != 24*time.Hour {
		t.Errorf("the host's clock jumped, and it is %s, %s behind", c.Now(), c.Ahead())
	}
	pass(time.Second)
	c.Adopt()
	if !c.Now().Equal(wall) || c.Ahead() != 0 {
		t.Errorf("adopted, and it is %s", c.Now())
	}
}
