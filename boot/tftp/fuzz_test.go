package tftp

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"sprout/dhcp/dhcptest"
)

// FuzzRequest reads any request: what is agreed lies within the bounds of RFCs 2348,
// 2349 and 7440, and an answer is a packet that ends.
func FuzzRequest(f *testing.F) {
	for _, heard := range dhcptest.Captures(f) { // of OVMF, shim and GRUB
		f.Add(heard)
	}
	for _, seed := range []string{
		"\x00\x01undionly.kpxe\x00octet\x00tsize\x000\x00",                                  // Intel's PXE asks for the size
		"\x00\x01undionly.kpxe\x00octet\x00blksize\x001456\x00",                             // and then for the file
		"\x00\x01snponly.efi\x00octet\x00blksize\x001432\x00tsize\x000\x00timeout\x003\x00", // tftp-hpa
		"\x00\x01/../../etc/passwd\x00octet\x00", "\x00\x02x\x00octet\x00", "\x00\x01x\x00netascii\x00", "\x00\x04\x00\x01", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		r, refused := parse(packet)
		if refused != nil {
			if p := refused.packet(); p[1] != opError || p[len(p)-1] != 0 {
				t.Errorf("%q is refused by %q", packet, p)
			}
			return
		}
		if r.block < minBlock || r.block > maxBlock || r.window < 1 || r.window > maxWindow || r.timeout < time.Second || r.timeout > 255*time.Second {
			t.Errorf("%q is agreed as %+v", packet, r)
		}
		if strings.HasPrefix(r.file, "/") || strings.Contains(r.file, "\x00") {
			t.Errorf("%q asks for %q", packet, r.file)
		}
		if o := r.oack(1 << 40); o != nil && (o[1] != opOACK || o[len(o)-1] != 0 || bytes.Count(o[2:], []byte{0})%2 != 0) {
			t.Errorf("%q is acknowledged by %q", packet, o)
		}
	})
}
