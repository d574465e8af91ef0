package builtin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"math/bits"
	"runtime"
	"sync"
	"time"

	"sprout"
	"sprout/hwtest"
)

const cpuFor = 2 * time.Second

// millionA is the SHA-256 of one million letters a (FIPS 180-2 appendix B.3).
const millionA = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

// testCPU has every thread of the processors compute things with known answers
// at the same time: integer logic (SHA-256), 128-bit products and floating
// point.
func testCPU(ctx context.Context, _ hwtest.Device) ([]sprout.Metric, error) {
	threads := runtime.NumCPU()
	ctx, cancel := context.WithTimeout(ctx, cpuFor)
	defer cancel()
	hashed, errs := make([]work, threads), make([]error, threads)
	var wg sync.WaitGroup
	for i := range threads {
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			hashed[i], errs[i] = compute(ctx)
		})
	}
	wg.Wait()
	rate := 0.0
	for i := range threads {
		if errs[i] != nil {
			return nil, fmt.Errorf("thread %d of %d: %w", i+1, threads, errs[i])
		}
		rate += megabytes(hashed[i].bytes, hashed[i].took.Seconds())
	}
	return []sprout.Metric{
		{Name: "threads", Value: float64(threads), Unit: "1"},
		{Name: "sha256", Value: round(rate), Unit: "MB/s"},
	}, nil
}

// work is how much one thread hashed, and how long that took.
type work struct {
	bytes int64
	took  time.Duration
}

// compute works until the context is done, at least one round.
func compute(ctx context.Context) (done work, err error) {
	million := make([]byte, 1_000_000)
	for i := range million {
		million[i] = 'a'
	}
	for done.bytes == 0 || ctx.Err() == nil {
		began := time.Now()
		sum := sha256.Sum256(million)
		done.took += time.Since(began)
		done.bytes += int64(len(million))
		if got := hex.EncodeToString(sum[:]); got != millionA {
			return done, fmt.Errorf("SHA-256 of a known text is %s, not %s", got, millionA)
		}
		if err := products(uint64(done.bytes)); err != nil {
			return done, err
		}
		if err := series(); err != nil {
			return done, err
		}
	}
	return done, nil
}

// products multiplies and divides back: (a·b) ÷ b must be a.
func products(seed uint64) error {
	x := seed*0x9e3779b97f4a7c15 + 1
	for range 20_000 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		a, b := x|1, bits.RotateLeft64(x, 29)|1<<63
		hi, lo := bits.Mul64(a, b)
		if q, r := bits.Div64(hi, lo, b); q != a || r != 0 {
			return fmt.Errorf("%d times %d divided by the latter is %d remainder %d", a, b, q, r)
		}
	}
	return nil
}

// series sums 1/k² over k up to 20000, which is π²/6 less 1/(n+½) but for terms
// of the third order.
func series() error {
	const n = 20_000
	sum := 0.0
	for k := n; k >= 1; k-- {
		sum += 1 / (float64(k) * float64(k))
	}
	want := math.Pi*math.Pi/6 - 1/(n+0.5)
	if math.Abs(sum-want) > 1e-12 {
		return fmt.Errorf("a series with the sum %.15f came to %.15f", want, sum)
	}
	return nil
}
