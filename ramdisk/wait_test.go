package ramdisk_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/image"
)

// TestWait holds a machine that waits to the next order, also where that comes later
// than the first time was over: the order to wait was given again.
func TestWait(t *testing.T) {
	r := waiting(t)
	if got := r.await(sprout.Order{ID: "1", Kind: sprout.OrderWait, Seconds: 60}, 5*time.Second); got.Outcome != "done" {
		t.Fatalf("to wait: %+v", got)
	}
	r.await(sprout.Order{ID: "2", Kind: sprout.OrderWait, Seconds: 3600}, 5*time.Second)
	if got := r.await(sprout.Order{ID: "3", Kind: sprout.OrderInspect}, 10*time.Second); got.Inventory == nil {
		t.Errorf("inspect: %+v", got)
	}
	r.await(sprout.Order{ID: "4", Kind: sprout.OrderWait, Seconds: 0}, 5*time.Second)
	select {
	case last := <-r.ended:
		if last != sprout.OrderPowerOff {
			t.Errorf("its time was over, and it ended with %s", last)
		}
	case <-time.After(10 * time.Second):
		t.Error("its time was over, and it waits still")
	}
}

// A machine that waits and whose token is refused is switched off at once, and says why
// on its console: no deploy can reach it in this boot.
func TestAWaitEndsWhereTheTokenIsRefused(t *testing.T) {
	r := waiting(t)
	r.await(sprout.Order{ID: "1", Kind: sprout.OrderWait, Seconds: 3600}, 5*time.Second)
	r.over.Store(true)
	select {
	case last := <-r.ended:
		if last != sprout.OrderPowerOff {
			t.Errorf("its token was refused, and it ended with %s", last)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("its token is refused, and it waits still")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if said := r.console.String(); !strings.Contains(said, "wait no more") || !strings.Contains(said, "403") {
		t.Errorf("its console says:\n%s", said)
	}
}

// TestKexec holds a reboot by kexec to what was written, and to the firmware, with the
// reason, where it cannot be.
func TestKexec(t *testing.T) {
	images, err := image.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	img, _ := smallImage(t, images)
	for name, c := range map[string]struct {
		write  bool
		kexec  func(context.Context, string) (string, error)
		start  string
		loaded bool
	}{
		"loaded":          {true, func(_ context.Context, disk string) (string, error) { return "/vmlinuz of " + disk + "1", nil }, "started by kexec: /vmlinuz of vda1", true},
		"refused":         {true, func(context.Context, string) (string, error) { return "", errors.New("operation not permitted") }, "by its firmware, not by kexec: operation not permitted", false},
		"cannot":          {true, nil, "by its firmware, not by kexec: this ramdisk cannot", false},
		"nothing written": {false, func(context.Context, string) (string, error) { return "", nil }, "no image of one disk was written", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, images, map[string]string{"vda": used(t, 96<<20)})
			<-r.hello
			r.agent.Kexec = c.kexec // it is read with the order, which follows
			if c.write {
				if got := r.await(writeOrder("1", img, sprout.DiskRule{}), 30*time.Second); got.Outcome != "done" {
					t.Fatalf("write: %+v", got.Failure)
				}
			}
			got := r.await(sprout.Order{ID: "2", Kind: sprout.OrderReboot, Kexec: true}, 5*time.Second)
			if !strings.Contains(got.Start, c.start) || got.Outcome != "done" {
				t.Errorf("reported %+v, want %q", got, c.start)
			}
			if last := <-r.ended; last != sprout.OrderReboot || r.agent.Loaded() != c.loaded {
				t.Errorf("ended with %s, loaded: %v", last, r.agent.Loaded())
			}
		})
	}
}

// waiting is a machine with an empty disk that asks for orders.
func waiting(t *testing.T) *rig {
	t.Helper()
	images, err := image.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return newRig(t, images, map[string]string{"vda": used(t, 8<<20)})
}
