package tftp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// memory is a file that is cut off at some length, whatever its size says.
type memory struct {
	*bytes.Reader
	size int64
}

func (m memory) Size() int64  { return m.size }
func (m memory) Close() error { return nil }

// The packets of any run of blocks, also one that is sent again, carry what the
// file has there.
func TestBlocksCarryTheFile(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		content := make([]byte, random.IntN(300_000))
		for i := range content {
			content[i] = byte(random.Uint32())
		}
		r := request{file: "f", block: minBlock + random.IntN(3000), window: 1 + random.IntN(maxWindow)}
		b := newBlocks(memory{bytes.NewReader(content), int64(len(content))}, r)
		for range 20 {
			first := 1 + random.Int64N(b.last())
			n := 1 + random.Int64N(min(int64(b.burst), b.last()-first+1))
			packets, err := b.pack(first, n)
			if err != nil {
				t.Fatal(err)
			}
			if len(packets) > mostBytes {
				t.Fatalf("one call has %d bytes", len(packets))
			}
			wantPackets(t, packets, content, r.block, first, n)
		}
	}
}

func wantPackets(t *testing.T, packets, content []byte, block int, first, n int64) {
	t.Helper()
	for i := first; i < first+n; i++ {
		want := content[(i-1)*int64(block) : min(i*int64(block), int64(len(content)))]
		if len(packets) < 4+len(want) || packets[1] != opData || binary.BigEndian.Uint16(packets[2:]) != uint16(i) || !bytes.Equal(packets[4:4+len(want)], want) {
			t.Fatalf("block %d of %d bytes each is wrong", i, block)
		}
		packets = packets[4+len(want):]
	}
	if len(packets) != 0 {
		t.Fatalf("%d bytes are too many", len(packets))
	}
}

// A file that became shorter is said so, and no block of it is made up.
func TestBlocksOfACutFile(t *testing.T) {
	b := newBlocks(memory{bytes.NewReader([]byte("0123456789")), 100}, request{file: "f", block: 8, window: 1})
	if _, err := b.pack(1, 1); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(fmt.Sprint(err), "f at 0") {
		t.Errorf("the error is %v", err)
	}
}
