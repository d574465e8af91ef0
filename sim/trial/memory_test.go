package trial

import (
	"context"
	"flag"
	"math"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"sprout/api/apitest"
)

// memoryMachines says how many machines the test of memory has: more tell more.
var memoryMachines = flag.Int("memory-machines", 24, "machines of the test of agents' memory")

// sampleEvery is the mean distance of allocations that are looked at, in bytes.
const sampleEvery = 1024

func TestMain(m *testing.M) {
	runtime.MemProfileRate = sampleEvery // before anything is allocated that counts
	flag.Parse()
	os.Exit(m.Run())
}

// What an agent may keep in memory of a machine that is at rest, and how much
// more after each further time that it was deployed and released.
const (
	mostOfMachine = 16 << 10
	mostOfRound   = 4 << 10
)

// An agent keeps little of a machine once its work is done, however often that was:
// so 10,000 machines fit where 10 do.
func TestAgentsKeepLittleOfAMachine(t *testing.T) {
	n := *memoryMachines
	trial, err := begin(t.Context(), Config{Edge: apitest.Edge(t), Sites: 1, Machines: n, Goal: All, Seed: 1, Patience: 2 * time.Minute}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer trial.down()
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	watching.Go(func() { _ = trial.watch.run(ctx) })
	trial.score.begin(time.Now())
	subjects := make([]*subject, n)
	for i := range subjects {
		subjects[i] = trial.subject(i)
	}
	pass := func(round []stage) int64 {
		trial.manageRound(ctx, subjects, round, 0, false)
		for _, s := range subjects {
			if s.result.Outcome != Finished {
				t.Fatalf("%+v", s.result)
			}
		}
		return agentsHold()
	}
	before := agentsHold()
	after := pass(stages)
	if grown := (after - before) / int64(n); grown > mostOfMachine || grown <= 0 {
		t.Errorf("the agent holds %d B more for each of %d machines at rest, it may %d", grown, n, mostOfMachine)
	} else {
		t.Logf("an agent's %d B, and %d B for each machine", before, grown)
	}
	const again = 2
	for range again {
		last := after
		after = pass(stages[2:])
		t.Logf("after one more round: %d B for each machine more", (after-last)/int64(n))
		if grown := (after - last) / int64(n); grown > mostOfRound {
			t.Errorf("the agent holds %d B more for each machine that was deployed and released again, it may %d", grown, mostOfRound)
		}
	}
}

// agentsHold is how many bytes live on the heap that the agents' parts asked for.
func agentsHold() int64 {
	for range 3 { // the profile is of the collection before; pools are emptied in two
		runtime.GC()
	}
	records := make([]runtime.MemProfileRecord, 64)
	for {
		n, ok := runtime.MemProfile(records, false)
		if ok {
			records = records[:n]
			break
		}
		records = make([]runtime.MemProfileRecord, 2*n)
	}
	var sum float64
	for _, r := range records {
		if r.InUseObjects() > 0 && ofAgent(r.Stack()) {
			size := float64(r.InUseBytes()) / float64(r.InUseObjects())
			sum += float64(r.InUseBytes()) / (1 - math.Exp(-size/sampleEvery)) // what was sampled stands for more
		}
	}
	return int64(sum)
}

// agentParts are the packages that only agents use.
var agentParts = []string{"sprout/agent.", "sprout/sitestore.", "sprout/dhcp/", "sprout/boot/", "sprout/power/redfish.", "go.etcd.io/bbolt."}

func ofAgent(stack []uintptr) (yes bool) {
	frames := runtime.CallersFrames(stack)
	for more := len(stack) > 0; more; {
		var f runtime.Frame
		f, more = frames.Next()
		if strings.HasPrefix(f.Function, "sprout/sim.") {
			return false // a machine that asks
		}
		for _, part := range agentParts {
			yes = yes || strings.HasPrefix(f.Function, part)
		}
	}
	return yes
}
