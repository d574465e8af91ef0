package builtin_test

import (
	"slices"
	"testing"

	"sprout"
	"sprout/alloc"
	"sprout/alloc/alloctest"
	"sprout/alloc/builtin"
)

func TestContract(t *testing.T) { alloctest.Run(t, builtin.Provider{}) }

func TestRemovalsReadWell(t *testing.T) {
	list := []sprout.Machine{alloctest.Machine("m1", 2, 3<<29, 10<<30), alloctest.Machine("m2", 8, 4<<30, 10<<30)}
	list[1].State = sprout.Deployed
	_, removed := builtin.Provider{}.Choose(alloc.Request{MinMemory: 2 << 30}, list)
	want := []alloc.Removal{
		{Constraint: "state is ready", Removed: 1, Nearest: []string{"m2 (deployed)"}},
		{Constraint: "memory at least 2 GiB", Removed: 1, Nearest: []string{"m1 (memory: 1.5 GiB)"}},
	}
	if !slices.EqualFunc(removed, want, func(a, b alloc.Removal) bool {
		return a.Constraint == b.Constraint && a.Removed == b.Removed && slices.Equal(a.Nearest, b.Nearest)
	}) {
		t.Errorf("got %+v", removed)
	}
}
