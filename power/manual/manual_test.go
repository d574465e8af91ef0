package manual_test

import (
	"testing"

	"sprout/power/governor"
	"sprout/power/manual"
	"sprout/power/powertest"
)

func TestContract(t *testing.T) {
	powertest.Run(t, func(*testing.T) powertest.Rig {
		return powertest.Rig{Provider: governor.New(manual.Driver{Machine: "web-01"}, governor.Config{Burst: 1000})}
	})
}
