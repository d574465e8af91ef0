package trial

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
)

// keepHeap writes a profile of what lives now: with everything on, and garbage
// collected.
func (t *trial) keepHeap(name string) {
	if t.Heap == "" {
		return
	}
	runtime.GC()
	for _, kind := range []string{"heap", "goroutine"} {
		out, err := os.Create(filepath.Join(t.Heap, name+"."+kind))
		if err == nil {
			err = pprof.Lookup(kind).WriteTo(out, 0)
			_ = out.Close()
		}
		if err != nil {
			t.Log.Error("profile not kept", "of", kind, "error", err)
		}
	}
}
