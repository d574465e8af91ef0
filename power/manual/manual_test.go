package manual_test

import (
	"testing"

	"sprout/power/manual"
	"sprout/power/powertest"
)

func TestContract(t *testing.T) {
	powertest.Run(t, func(*testing.T) powertest.Rig {
		return powertest.Rig{Provider: manual.Provider{Machine: "web-01"}}
	})
}
