// Package builtin is Sprout's own set of hardware tests: short, without
// programs to install, and harmless to data. They tell parts that are broken
// or far too slow; they are no burn-in.
package builtin

import (
	"sprout"
	"sprout/hwtest"
)

// A Provider is the builtin set; its zero value is ready.
type Provider struct{}

// Tests lists the tests: the same for every machine.
func (Provider) Tests(sprout.Inventory) []hwtest.Test {
	return []hwtest.Test{
		{Name: "cpu-arithmetic", Title: "Every thread computes known answers", Kind: "cpu", Run: testCPU},
		{Name: "memory-pattern", Title: "Free memory keeps patterns", Kind: "memory", Run: testMemory},
		{Name: "disk-read", Title: "The disk reads without errors, and how fast", Kind: "disk", Run: testDisk},
		{Name: "nic-link", Title: "The port has a link that reaches the agent, and how well", Kind: "nic", Run: testNIC},
	}
}

// megabytes is a rate in units of a million bytes a second.
func megabytes(bytes int64, seconds float64) float64 {
	return round(float64(bytes) / 1e6 / max(seconds, 1e-9))
}

// round keeps figures readable: three digits after the point.
func round(v float64) float64 { return float64(int64(v*1000+0.5)) / 1000 }
