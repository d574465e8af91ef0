package boot_test

import (
	"io"
	"net/http/httptest"
	"os"
	"testing"
)

// A socket takes a body as the connection of a real answer does: what is handed
// over whole it may leave to the kernel (sendfile), what is written went through
// this program.
type socket struct {
	*httptest.ResponseRecorder
	file bool
}

func (s *socket) ReadFrom(r io.Reader) (int64, error) {
	for from := r; ; {
		limited, ok := from.(*io.LimitedReader)
		if !ok {
			_, s.file = from.(*os.File)
			return io.Copy(s.ResponseRecorder, r)
		}
		from = limited.R
	}
}

// Kernels, initrds and loaders are copied by the kernel, of ranges too: counting
// them must not bring their bytes into this program.
func TestFilesAreLeftToTheKernel(t *testing.T) {
	r := handler(t)
	for _, c := range []struct{ path, rng, want string }{
		{"/boot/vmlinuz", "", "the kernel"},
		{"/boot/" + digest("the kernel") + "/vmlinuz", "", "the kernel"},
		{"/boot/initrd", "bytes=4-", "initrd"},
		{"/boot/snponly.efi", "", "the loader"},
	} {
		q := httptest.NewRequest("GET", c.path, nil)
		q.RemoteAddr = "10.0.0.5:40000"
		if c.rng != "" {
			q.Header.Set("Range", c.rng)
		}
		w := &socket{ResponseRecorder: httptest.NewRecorder()}
		r.ServeHTTP(w, q)
		if w.Body.String() != c.want || !w.file {
			t.Errorf("%s %s: %q, a file to copy: %v", c.path, c.rng, w.Body, w.file)
		}
	}
}
